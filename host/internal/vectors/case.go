package vectors

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// testCase is one line of a file of cases.
type testCase struct {
	ID       string      `json:"id"`
	Model    string      `json:"model"`
	Currency string      `json:"currency"`
	Params   params      `json:"params"`
	Events   []testEvent `json:"events"`
	Expected expectation `json:"expected"`
}

// params are parameters by name, as they stand in the case.
type params map[string]json.RawMessage

// testEvent is one usage event of a case, or for an invoice rule one line item.
type testEvent struct {
	Quantity         *billing.Decimal  `json:"quantity"`
	Amount           *billing.Decimal  `json:"amount"`
	Time             time.Time         `json:"time"`
	Attributes       map[string]string `json:"attributes"`
	Key              string            `json:"key"`
	Op               string            `json:"op"`
	ProratedQuantity string            `json:"prorated_quantity"`
	TaxPercent       texts             `json:"tax_percent"`
}

// texts is one string or several.
type texts []string

// UnmarshalJSON reads a string or a list of them.
func (t *texts) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(t))
}

// dimension returns what the event's data has under the name of a dimension.
func (e *testEvent) dimension(name string) string {
	if value, ok := e.Attributes[name]; ok {
		return value
	}
	switch name {
	case "key":
		return e.Key
	case "op":
		return e.Op
	case prorated:
		return e.ProratedQuantity
	case "tax_percent":
		return strings.Join(e.TaxPercent, ",")
	}
	return ""
}

// prorated is the dimension that brings an event's prorated quantity.
const prorated = "prorated_quantity"

// expectation is what a case asserts; what is absent is not asserted.
type expectation struct {
	Amount     *billing.Decimal  `json:"amount"`
	Units      *billing.Decimal  `json:"units"`
	Cumulative []billing.Decimal `json:"cumulative"`
	PerEvent   []billing.Decimal `json:"per_event"`
	Lines      []expectedLine    `json:"lines"`
	Subtotal   *billing.Decimal  `json:"subtotal"`
	Net        *billing.Decimal  `json:"subtotal_excluding_tax"`
	Tax        *billing.Decimal  `json:"tax"`
}

// plan is a case in the words of a catalog: a tariff, how the host drives it, and the invoice rules behind it.
type plan struct {
	tariff      string
	params      params
	rules       []rule
	groupBy     []string
	start, end  time.Time // the billing period
	window      time.Duration
	progressive bool // each event is a bill on the way; the last one ends the period when final
	final       bool
}

// rule is an invoice rule with its parameters. One that is due at the end only is left out of bills on the way by its
// own doing: they are not final.
type rule struct {
	plugin string
	params params
}

// plan translates the case.
func (c *testCase) plan() (*plan, error) {
	p := &plan{tariff: c.Model, params: params{}, final: true}
	for name, raw := range c.Params {
		if s := string(raw); s != "null" && s != "[]" && s != "{}" {
			p.params[name] = raw
		}
	}
	var mode string
	var problem error
	read := func(name string, into any) {
		if raw, ok := p.params[name]; ok && problem == nil {
			if err := json.Unmarshal(raw, into); err != nil {
				problem = fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	take := func(name string, into any) {
		read(name, into)
		delete(p.params, name)
	}
	read("billing", &mode)
	take("final_run", &p.final)
	take("group_by", &p.groupBy)
	p.progressive = mode == "progressive"
	p.final = p.final || !p.progressive
	if c.Model == "credit_burndown" {
		take("start", &p.start)
		take("until", &p.end)
	} else if p.params["period_end"] != nil {
		take("period_start", &p.start)
		take("period_end", &p.end)
	}
	if c.Model == "aggregation" {
		var window string
		if take("window", &window); window != "" && problem == nil {
			p.window, problem = duration(window)
		}
	}
	if problem == nil {
		problem = p.chain(c)
	}
	return p, problem
}

// chain takes what is an invoice rule out of the parameters.
func (p *plan) chain(c *testCase) error {
	switch c.Model {
	case "max_cap_line":
		p.tariff = "per_unit"
		p.rules = append(p.rules, rule{"maximum_cap", p.move("maximum", "already_billed", "rounding")})
		p.params["rounding"] = p.rules[0].params["rounding"]
	case "aggregation":
		if slices.ContainsFunc(c.Events, func(e testEvent) bool { return e.Key != "" }) || strings.HasSuffix(string(p.params["type"]), `unique_count"`) {
			p.params["key"], p.params["op"] = json.RawMessage(`"key"`), json.RawMessage(`"op"`)
		}
	case "allocation":
		if strings.Contains(string(p.params["tie_break"]), "key") {
			p.params["tie_break"] = json.RawMessage(`"key_order"`)
		}
	case "custom":
		if p.params["fx_rate"] == nil && slices.ContainsFunc(c.Events, func(e testEvent) bool { return e.Attributes["fx_rate"] != "" }) {
			p.params["fx_rate_dimension"] = json.RawMessage(`"fx_rate"`)
		}
	case "invoice_totals":
		p.params["line_items"] = json.RawMessage(fmt.Sprint(len(c.Events)))
	case "prorated_graduated":
		if slices.ContainsFunc(c.Events, func(e testEvent) bool { return e.ProratedQuantity != "" }) {
			p.params[prorated] = json.RawMessage(`"` + prorated + `"`)
		}
	}
	for _, nested := range []string{"discounts", "commitments"} {
		var inner params
		if raw, ok := p.params[nested]; ok {
			if err := json.Unmarshal(raw, &inner); err != nil {
				return fmt.Errorf("%s: %w", nested, err)
			}
		}
		delete(p.params, nested)
		add := func(name, plugin, as string) {
			if raw, ok := inner[name]; ok && string(raw) != "null" {
				p.rules = append(p.rules, rule{plugin, params{as: raw}})
				if plugin != "maximum_cap" && p.params["rounding"] != nil {
					p.rules[len(p.rules)-1].params["rounding"] = p.params["rounding"]
				}
			}
		}
		if usage, ok := inner["usage"]; ok {
			p.params[nested] = json.RawMessage(`{"usage":` + string(usage) + `}`)
		}
		add("percentage", "discount", "percent")
		add("maximum", "maximum_cap", "maximum")
		add("minimum", "minimum_commitment", "minimum")
	}
	if p.params["credits"] != nil {
		p.rules = append(p.rules, rule{"credits", p.move("credits")})
	}
	return nil
}

// move takes parameters away and returns them.
func (p *plan) move(names ...string) params {
	moved := params{}
	for _, name := range names {
		if raw, ok := p.params[name]; ok {
			moved[name] = raw
			delete(p.params, name)
		}
	}
	return moved
}

// within reports whether a tariff's schema has all parameters.
func (p params) within(schema json.RawMessage) (bool, error) {
	var known struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(schema, &known); err != nil {
		return false, fmt.Errorf("schema of the parameters: %w", err)
	}
	for name := range p {
		if _, ok := known.Properties[name]; !ok {
			return false, nil
		}
	}
	return true, nil
}

// duration reads an ISO 8601 duration of days, hours, minutes and seconds, such as PT1M.
func duration(text string) (time.Duration, error) {
	days, clock, _ := strings.Cut(strings.TrimPrefix(text, "P"), "T")
	var sum time.Duration
	if days != "" {
		var n int
		if _, err := fmt.Sscanf(days, "%dD", &n); err != nil {
			return 0, fmt.Errorf("duration %q: %w", text, err)
		}
		sum = time.Duration(n) * 24 * time.Hour
	}
	if clock != "" {
		d, err := time.ParseDuration(strings.ToLower(clock))
		if err != nil {
			return 0, fmt.Errorf("duration %q: %w", text, err)
		}
		sum += d
	}
	if sum <= 0 {
		return 0, fmt.Errorf("duration %q is none", text)
	}
	return sum, nil
}
