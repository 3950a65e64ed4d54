package catalog

import "testing"

// A rule sees the lines of the tariffs that it applies to, and those of the rules
// before it that look at no other tariff.
func TestRulesSee(t *testing.T) {
	all, a, ab := &InvoiceRule{}, &InvoiceRule{AppliesTo: []string{"a"}}, &InvoiceRule{AppliesTo: []string{"a", "b"}}
	for _, c := range []struct {
		rule, earlier *InvoiceRule
		want          bool
	}{{all, all, true}, {all, ab, true}, {ab, all, false}, {ab, a, true}, {a, ab, false}, {a, a, true}} {
		if got := c.rule.Sees(c.earlier); got != c.want {
			t.Errorf("%v sees the lines of %v: %v", c.rule.AppliesTo, c.earlier.AppliesTo, got)
		}
	}
	if !all.Covers("x") || ab.Covers("x") || !ab.Covers("b") {
		t.Error("a rule covers a tariff that it does not name, or not one that it does")
	}
}

// An account's own list of rules replaces the shared one, also when it is empty; and
// rules survive being stored.
func TestRulesOfAccounts(t *testing.T) {
	c := parse(t, `
meters: [{name: calls, event_type: call}]
tariffs:
  - name: a
    meter: calls
    currency: JPY
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: flat, params: {amount: "1"}}]
accounts:
  - {id: free, invoice_rules: []}
  - {id: own, invoice_rules: [{name: own, plugin: minimum_commitment, params: {amount: "1"}, currency: JPY, rounding: {scale: -2, mode: floor}}]}
  - {id: other}
billing:
  invoice_rules: [{name: shared, plugin: minimum_commitment, params: {amount: "2"}, currency: JPY, applies_to: [a]}]
`)
	if problems := c.Resolve(&plugins{}); len(problems) > 0 {
		t.Fatal(problems)
	}
	stored, err := FromObjects(Objects(c))
	if err != nil {
		t.Fatal(err)
	}
	if stored.Digest() != c.Digest() {
		t.Error("the catalog reads back with another digest")
	}
	for _, c := range []*Catalog{c, stored} {
		own, shared := c.RulesOf("own"), c.RulesOf("other")
		if len(own) != 1 || own[0].Name != "own" || own[0].Module == "" || own[0].Entry != "minimum_commitment" || own[0].Rounding.Scale != -2 {
			t.Errorf("rules %+v", own)
		}
		if len(shared) != 1 || shared[0].Name != "shared" || shared[0].Rounding.Scale != 0 || len(c.RulesOf("nobody")) != 1 {
			t.Errorf("rules %+v", shared)
		}
		if len(c.RulesOf("free")) != 0 {
			t.Error("an empty list does not replace the shared one")
		}
	}
	if changes := Compare(c, stored); len(changes) != 0 {
		t.Errorf("changes %v", changes)
	}
}
