package tariff

import (
	"bytes"
	"strings"
	"testing"
)

func nothing(*Config) Pricer { return nil }

func TestRegisterRefuses(t *testing.T) {
	one := []Tariff{{Name: "a", Configure: nothing}}
	for want, m := range map[string]Module{
		`tariff: module name "A" is not of the form [a-z][a-z0-9_]{0,62}`: {Name: "A", Tariffs: one},
		`tariff: a module has 1 to 256 tariffs`:                           {Name: "m"},
		`tariff: fuel per event must be 0 to 50000000`:                    {Name: "m", Tariffs: one, FuelPerEvent: -1},
		`tariff: memory must be 0 to 67108864 bytes`:                      {Name: "m", Tariffs: one, MemoryMaxBytes: 1 << 30},
		`tariff: tariff name "" is not of the form [a-z][a-z0-9_]{0,62}`:  {Name: "m", Tariffs: []Tariff{{Configure: nothing}}},
		`tariff: tariff a has no Configure`:                               {Name: "m", Tariffs: []Tariff{{Name: "a"}}},
		`tariff: tariff a is there twice`:                                 {Name: "m", Tariffs: append(one, one...)},
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("panic %v, want %s", got, want)
				}
			}()
			Register(m)
		}()
	}
}

func TestMainPrintsTheManifest(t *testing.T) {
	m := Register(Module{
		Name: "acme", Version: "2", FuelPerEvent: 5, MemoryMaxBytes: 6,
		Tariffs: []Tariff{{Name: "a", Title: "<A>", Configure: func(c *Config) Pricer {
			c.Params.Amount("price", "What it costs.")
			c.Params.Object("in", "").Int("n", "", 1, 2)
			return nil
		}}},
	})
	want := `{"abi":"1.0","fuel_per_event":5,"memory_max_bytes":6,"name":"acme","sdk":"tollway-go/1.0","tariffs":[{"name":"a",` +
		`"params_schema":{"$schema":"https://json-schema.org/draft/2020-12/schema","additionalProperties":false,"properties":{` +
		`"in":{"additionalProperties":false,"properties":{"n":{"maximum":2,"minimum":1,"title":"N","type":"integer"}},"required":["n"],"title":"In","type":"object"},` +
		`"price":{"description":"What it costs.","pattern":"^-?[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]+)?$","title":"Price","type":["string","number"]}},` +
		`"required":["price","in"],"title":"<A>","type":"object"},"title":"<A>"}],"version":"2"}` + "\n"
	for range 2 { // the same bytes every time
		var out, problems bytes.Buffer
		if code := m.main([]string{"-manifest"}, nil, &out, &problems); code != 0 || out.String() != want || problems.Len() > 0 {
			t.Errorf("exit code %d, %s\n%s\nwant\n%s", code, &problems, &out, want)
		}
	}
}

func TestMainWithoutManifest(t *testing.T) {
	m := &Module{Name: "acme", Tariffs: []Tariff{{Name: "a", Configure: nothing}}}
	var out, problems bytes.Buffer
	if code := m.main(nil, nil, &out, &problems); code != 2 || out.Len() > 0 || !strings.Contains(problems.String(), "acme: this is a tariff plugin") {
		t.Errorf("exit code %d, %s%s", code, &out, &problems)
	}
}

func TestManifestOfATariffThatCannotBeDescribed(t *testing.T) {
	m := &Module{Name: "acme", Tariffs: []Tariff{{Name: "a", Configure: func(c *Config) Pricer {
		if c.Params.Quantity("size", "").IsZero() {
			panic("size is 0")
		}
		return nil
	}}}}
	var out, problems bytes.Buffer
	want := "acme: tariff a: Configure panicked while its parameters were described: size is 0\n"
	if code := m.main([]string{"--manifest"}, nil, &out, &problems); code != 1 || problems.String() != want {
		t.Errorf("exit code %d, %s", code, &problems)
	}
}
