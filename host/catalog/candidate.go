package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Only returns the part of a resolved catalog that prices usage by one tariff: the
// tariff, its meter, and the subscriptions to it. It is resolved.
func (c *Catalog) Only(tariff string) (*Catalog, error) {
	next, err := c.only(tariff)
	if err != nil {
		return nil, err
	}
	next.finish()
	return next, nil
}

func (c *Catalog) only(tariff string) (*Catalog, error) {
	t := c.Tariffs[tariff]
	if t == nil {
		return nil, fmt.Errorf("there is no tariff %q in the catalog in force", shorten(tariff))
	}
	next := newCatalog()
	next.Billing = c.Billing
	next.Billing.InvoiceRules = nil // they see invoices, not usage
	next.Tariffs[tariff], next.Meters[t.Meter] = t, c.Meters[t.Meter]
	for _, name := range c.DefaultSubscriptions {
		if name == tariff {
			next.DefaultSubscriptions = []string{name}
		}
	}
	for id, a := range c.Accounts {
		part := *a // also of those that have no such subscription: they do not have the default ones either
		part.Subscriptions, part.InvoiceRules = nil, nil
		for _, s := range a.Subscriptions {
			if s.Tariff == tariff {
				part.Subscriptions = append(part.Subscriptions, s)
			}
		}
		next.Accounts[id] = &part
	}
	return next, nil
}

// Candidate returns what Only does, with another plugin, other parameters, or both
// in every version of the tariff; "" and nil leave what is there. It has to be
// resolved.
func (c *Catalog) Candidate(tariff, plugin string, params json.RawMessage) (*Catalog, error) {
	next, err := c.only(tariff)
	if err != nil {
		return nil, err
	}
	t := *next.Tariffs[tariff]
	t.resolved, t.Versions = false, nil
	for _, v := range next.Tariffs[tariff].Versions {
		t.Versions = append(t.Versions, v.with(plugin, params))
	}
	next.Tariffs[tariff] = &t
	for _, a := range next.Accounts {
		a.resolved = false
	}
	return next, nil
}

// with returns the version with another plugin or other parameters.
func (v *TariffVersion) with(plugin string, params json.RawMessage) *TariffVersion {
	next := *v
	if plugin != "" {
		next.Plugin, next.Module, next.Name = plugin, "", ""
	}
	if params != nil {
		next.Params, next.params = params, nil
	}
	return &next
}

// ParseParams reads a tariff's parameters, a JSON object, into their canonical
// form.
func ParseParams(text string) (json.RawMessage, error) {
	if !json.Valid([]byte(text)) || !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return nil, errors.New("params: must be a JSON object")
	}
	c, problems := Parse([]File{{
		Name: "params.json", Data: []byte(`{"tariffs":[{"name":"t","meter":"m","currency":"EUR","versions":[{"effective_from":"2000-01-01T00:00:00Z","plugin":"flat","params":` + text + `}]}]}`),
	}})
	if len(problems) > 0 {
		return nil, errors.New(problems[0].Message)
	}
	return c.Tariffs["t"].Versions[0].Params, nil
}
