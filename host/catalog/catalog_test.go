package catalog

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/sdk/billing"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// golden compares text with a file, or rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got, -rewrite accepts):\n%s", name, diff)
	}
}

// plugins is a Resolver of tests. It knows the built-in names, takes any
// params save those that say "bad", and counts what it is asked.
type plugins struct {
	lookups, checks int
	digest          string // of all plugins; "sha256:00…" when empty
}

func (p *plugins) Lookup(kind PluginKind, reference string) (module, tariff string, err error) {
	p.lookups++
	if kind == PluginRule && reference == "minimum_commitment" {
		return "sha256:" + strings.Repeat("1", 64), reference, nil
	}
	switch reference {
	case "flat", "per_unit", "graduated", "price_table":
		if p.digest == "" {
			return "sha256:" + strings.Repeat("0", 64), reference, nil
		}
		return p.digest, reference, nil
	}
	if strings.HasSuffix(reference, ".wasm") {
		return "", "", fmt.Errorf("there is no file %s", reference)
	}
	return "", "", fmt.Errorf("there is no plugin %q%s", reference, didYouMean(reference, []string{"flat", "per_unit", "graduated", "price_table"}))
}

func (p *plugins) CheckParams(_, tariff string, params json.RawMessage, _ billing.Currency) ([]string, error) {
	p.checks++
	var v struct {
		Dimension string
		Tiers     []struct {
			UpTo *string `json:"up_to"`
		}
	}
	if err := json.Unmarshal(params, &v); err != nil {
		return nil, err
	}
	for i, tier := range v.Tiers {
		if tier.UpTo != nil && *tier.UpTo == "bad" {
			return nil, fmt.Errorf("params.tiers[%d].up_to: must be a number", i)
		}
	}
	if tariff == "price_table" {
		if v.Dimension == "" {
			return nil, errors.New("params.dimension: is missing")
		}
		return []string{v.Dimension}, nil
	}
	return nil, nil
}

// parse parses and resolves YAML that has no problems.
func parse(t *testing.T, text string) *Catalog {
	t.Helper()
	c, problems := Parse([]File{{Name: "catalog.yaml", Data: []byte(text)}})
	problems = append(problems, c.Resolve(&plugins{})...)
	for _, p := range problems {
		t.Error(p)
	}
	if len(problems) > 0 {
		t.FailNow()
	}
	return c
}

// load reads a file of testdata.
func load(t *testing.T, name string) File {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return File{Name: filepath.ToSlash(name), Data: data}
}

func lines(problems []Problem) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}
