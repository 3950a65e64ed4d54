package builtin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/builtin"
)

// TestConfigurationsFitTheirFuel configures what catalogs come to: a price list of thousands of rows, one that is wrong
// in all of them, and thousands of accounts with parameters of their own in one instance, whose garbage the module
// collects meanwhile.
func TestConfigurationsFitTheirFuel(t *testing.T) {
	found, err := builtin.Modules()
	if errors.Is(err, builtin.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := plugins.NewRuntime(t.Context(), plugins.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	var instance *plugins.Instance
	for _, m := range found {
		if m.Name != "standard" {
			continue
		}
		module, err := r.Load(t.Context(), m.Wasm)
		if err != nil {
			t.Fatal(err)
		}
		if instance, err = module.NewInstance(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if instance == nil {
		t.Fatal("there is no module standard")
	}
	configure := func(requests ...plugins.ConfigRequest) error {
		_, err := instance.Configure(t.Context(), requests)
		return err
	}
	const row = `{"unit_price":"0.0125"}`
	if err := configure(priceTable(t, 5_000, row)); err != nil {
		t.Errorf("a price list: %v", err)
	}
	if err := configure(priceTable(t, 500, `{"price":"0.0125"}`)); err == nil || !strings.Contains(err.Error(), "and 980 more") {
		t.Errorf("a price list that is wrong: %v", err)
	}
	accounts := make([]plugins.ConfigRequest, 1_600)
	for k := range accounts {
		accounts[k] = plugins.ConfigRequest{
			Tariff: "graduated", Currency: "EUR",
			Params: json.RawMessage(fmt.Sprintf(`{"tiers":[{"up_to":"10","unit_price":"0.05"},{"up_to":null,"unit_price":"0.%d"}]}`, 10_000+k)),
		}
	}
	if err := configure(accounts...); err != nil {
		t.Errorf("accounts: %v", err)
	}
}

// priceTable is a price list with so many equal rows.
func priceTable(t *testing.T, rows int, row string) plugins.ConfigRequest {
	t.Helper()
	prices := map[string]json.RawMessage{}
	for k := range rows {
		prices[fmt.Sprintf("sku-%d", k)] = json.RawMessage(row)
	}
	params, err := json.Marshal(map[string]any{"dimension": "sku", "prices": prices})
	if err != nil {
		t.Fatal(err)
	}
	return plugins.ConfigRequest{Tariff: "price_table", Params: params, Currency: "EUR"}
}
