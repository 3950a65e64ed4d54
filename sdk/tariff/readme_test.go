package tariff_test

import (
	"os"
	"strings"
	"testing"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
	"github.com/tollway/tollway/sdk/tariff/tarifftest"
)

// The plugin of examples/tariffs/README.md, word for word: TestReadmeIsThisCode compares.

var module = tariff.Register(tariff.Module{
	Name: "night", Version: "1.0.0",
	Tariffs: []tariff.Tariff{{Name: "night", Title: "Cheaper at night", Configure: configure}},
})

type night struct {
	price *tariff.Table[billing.Amount]
	line  tariff.Line
}

func configure(c *tariff.Config) tariff.Pricer {
	n := &night{line: c.Line("usage", "Usage"), price: tariff.NewTable[billing.Amount](c.Dimension("band"))}
	n.price.Set("day", c.Params.Amount("day", "The price of a unit by day."))
	n.price.Set("night", c.Params.Amount("night", "The price of a unit at night."))
	return n
}

func (n *night) Price(s *tariff.Slot, e *tariff.Event) error {
	price := n.price.Of(e)
	if price == nil {
		return tariff.Reject("unknown_band", "band is neither day nor night")
	}
	amount, err := tariff.Multiply(e.Quantity(), *price, tariff.Exact)
	if err != nil {
		return err
	}
	return n.line.Add(s, e.Quantity(), amount)
}

func TestNight(t *testing.T) {
	tarifftest.Run(t, module.Tariffs[0], []tarifftest.Case{{
		Name:   "a unit at night",
		Params: `{"day": "0.10", "night": "0.05"}`,
		Events: []tarifftest.Event{{Quantity: "60", Dimensions: map[string]string{"band": "night"}}},
		Want:   []string{"usage 60 3"},
	}})
}

func TestNightByDayAndNever(t *testing.T) {
	band := func(value string) tarifftest.Event {
		return tarifftest.Event{Dimensions: map[string]string{"band": value}}
	}
	tarifftest.Run(t, module.Tariffs[0], []tarifftest.Case{{
		Name: "bands", Params: `{"day": "0.10", "night": "0.05"}`,
		Events: []tarifftest.Event{band("day"), band("noon"), band("night"), band("")},
		Want:   []string{"usage 2 0.15"},
		Rejects: []string{
			"1 unknown_band: band is neither day nor night", "3 unknown_band: band is neither day nor night",
		},
	}})
}

func TestReadmeIsThisCode(t *testing.T) {
	readme, err := os.ReadFile("../../examples/tariffs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for i, part := range strings.Split(string(readme), "```") {
		block, isGo := strings.CutPrefix(part, "go\n")
		if i%2 == 0 || !isGo {
			continue
		}
		blocks++
		// What a program has around it, a test has not.
		block = strings.ReplaceAll(block, "func main() { module.Main() }", "")
		if _, rest, hasImports := strings.Cut(block, "\n)\n"); hasImports && strings.HasPrefix(block, "package main") {
			block = rest
		}
		if block = strings.TrimSpace(block); !strings.Contains(string(code), block) {
			t.Errorf("examples/tariffs/README.md shows code that is not in readme_test.go:\n%s", block)
		}
	}
	if blocks != 4 {
		t.Errorf("%d blocks of Go in examples/tariffs/README.md", blocks)
	}
}
