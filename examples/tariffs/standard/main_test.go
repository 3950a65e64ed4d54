package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tollway/tollway/sdk/tariff"
	"github.com/tollway/tollway/sdk/tariff/tarifftest"
)

// manifest is the module's, read back.
type manifest struct {
	Name    string `json:"name"`
	ABI     string `json:"abi"`
	Tariffs []struct {
		Name   string          `json:"name"`
		Title  string          `json:"title"`
		Schema json.RawMessage `json:"params_schema"`
	} `json:"tariffs"`
}

func readManifest(t *testing.T) manifest {
	t.Helper()
	raw, err := module.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestManifestIsCanonical(t *testing.T) {
	raw, err := module.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	encoder := json.NewEncoder(&again) // maps are written with their keys sorted
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(again.String()); got != string(raw) {
		t.Errorf("manifest is not canonical:\n%s\n%s", raw, got)
	}
}

func TestManifestNamesTheBuiltInTariffs(t *testing.T) {
	m := readManifest(t)
	want := []string{
		"flat", "per_unit", "graduated", "graduated_percentage", "volume", "stairstep", "package", "percentage", "dynamic", "price_table",
	}
	if m.Name != "standard" || m.ABI != "1.0" || len(m.Tariffs) != len(want) {
		t.Fatalf("manifest of %s, ABI %s, with %d tariffs", m.Name, m.ABI, len(m.Tariffs))
	}
	for i, tr := range m.Tariffs {
		if tr.Name != want[i] || tr.Title == "" {
			t.Errorf("tariff %d is %q, %q", i, tr.Name, tr.Title)
		}
	}
}

// accepted and refused are parameters by tariff; their schema and their Configure must agree.
var (
	accepted = map[string][]string{
		"flat":     {`{"amount":"1"}`, `{"amount":2.5,"payment_term":"in_arrears","position":"last","rounding":null}`},
		"per_unit": {`{"unit_price":"-0.5e-3","billing":"arrears","negative_units":"clamp_to_zero","period_start":"2026-01-01T00:00:00+02:00"}`, `{"unit_price":"1","filters":[{"match":{"cloud":["aws","gcp"],"tier":[]},"unit_price":"2"}],"discounts":null,"unit_conversion":null}`},
		"graduated": {
			`{"tiers":[{"up_to":null,"unit_price":"1"}]}`,
			`{"tiers":[{"up_to":"10","unit_price":"1","flat_fee":null},{"unit_price":0}],"rounding":{"mode":"none"}}`,
		},
		"volume":               {`{"tiers":[{"up_to":null,"unit_price":"1"}],"tier_units":"5","rounding":{"scale":-2,"mode":"floor"}}`},
		"package":              {`{"package_size":"10","package_price":"1"}`, `{"package_size":10,"package_price":"1","free_units":"3"}`},
		"dynamic":              {`{"flavor":"event_amount"}`, `{"flavor":"multiplier","multiplier":"1.2"}`},
		"graduated_percentage": {`{"tiers":[{"up_to":"10","rate_percent":"1.5","flat_fee":"2"},{"rate_percent":0}],"billing":"in_advance","discounts":{"usage":"3"}}`},
		"stairstep":            {`{"tiers":[{"up_to":"10","flat_fee":"5"},{"up_to":null,"flat_fee":"9"}],"unit_conversion":{"operation":"divide","factor":"1000"}}`},
		"percentage":           {`{"rate_percent":"1"}`, `{"rate_percent":"1","fixed_fee":"2","free_events":3,"free_amount":null,"min_per_event":"1","max_per_event":null,"zero_event":"charged"}`},
		"price_table":          {`{"dimension":"sku","prices":{}}`, `{"dimension":"sku","prices":{"a.b c":{"unit_price":"1"}},"default":{"unit_price":"2"}}`},
	}
	refused = map[string][]string{
		"flat":                 {`{}`, `{"amount":"1","position":"second"}`, `{"amount":"1","billing":"in_advance"}`},
		"per_unit":             {`{"unit_price":"1,5"}`, `{"unit_price":null}`, `{"unit_price":"1","commitments":{"minimum":"1"}}`, `{"unit_price":"1","filters":[{"match":{"cloud":"aws"},"unit_price":"2"}]}`, `{"unit_price":"1","unit_conversion":{"operation":"add","factor":"1"}}`},
		"graduated":            {`{"tiers":[]}`, `{"tiers":{}}`, `{"tiers":[{"up_to":null}]}`, `{"tiers":[{"up_to":null,"unit_price":"1","rate_percent":"1"}]}`},
		"volume":               {`{"tiers":[{"up_to":true,"unit_price":"1"}]}`, `{"tiers":[1]}`},
		"package":              {`{"package_price":"1"}`, `{"package_size":"ten","package_price":"1"}`},
		"dynamic":              {`{}`, `{"flavor":"free"}`, `{"flavor":"multiplier","multiplier":[]}`},
		"graduated_percentage": {`{"tiers":[{"up_to":null,"unit_price":"1"}]}`, `{"tiers":[{"rate_percent":"x"}]}`},
		"stairstep":            {`{"tiers":[{"up_to":null,"unit_price":"1"}]}`, `{}`},
		"percentage":           {`{}`, `{"rate_percent":"1","free_events":"3"}`, `{"rate_percent":"1","zero_event":"no"}`},
		"price_table":          {`{"dimension":"","prices":{}}`, `{"dimension":"sku"}`, `{"dimension":"sku","prices":{"a":{}}}`, `{"dimension":"sku","prices":{"a":{"unit_price":"1","rounding":{"scale":2.5,"mode":"floor"}}}}`},
	}
)

func TestSchemaAgreesWithConfigure(t *testing.T) {
	for _, tr := range readManifest(t).Tariffs {
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(tr.Schema))
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource(tr.Name, document); err != nil {
			t.Fatal(err)
		}
		schema, err := compiler.Compile(tr.Name)
		if err != nil {
			t.Fatalf("%s: %v", tr.Name, err)
		}
		bench := tarifftest.NewBench(t, module.Tariffs...)
		check := func(params string, want bool) {
			t.Helper()
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(params))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(value); (err == nil) != want {
				t.Errorf("%s: schema says %v of %s", tr.Name, err, params)
			}
			if _, err := bench.Configure(tr.Name, params); (err == nil) != want {
				t.Errorf("%s: Configure says %v of %s", tr.Name, err, params)
			}
		}
		for _, params := range accepted[tr.Name] {
			check(params, true)
		}
		for _, params := range refused[tr.Name] {
			check(params, false)
		}
	}
}

// run tests one of the tariffs.
func run(t *testing.T, tr tariff.Tariff, cases []tarifftest.Case) {
	t.Helper()
	tarifftest.Run(t, tr, cases)
}
