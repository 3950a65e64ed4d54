package vectors

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// testCase is one line of a file of cases.
type testCase struct {
	ID       string                     `json:"id"`
	Model    string                     `json:"model"`
	Currency string                     `json:"currency"`
	Params   map[string]json.RawMessage `json:"params"`
	Events   []testEvent                `json:"events"`
	Expected expectation                `json:"expected"`
}

// testEvent is one usage event of a case.
type testEvent struct {
	Quantity   *billing.Decimal  `json:"quantity"`
	Amount     *billing.Decimal  `json:"amount"`
	Time       time.Time         `json:"time"`
	Attributes map[string]string `json:"attributes"`
}

// expectation is what a case asserts; what is absent is not asserted.
type expectation struct {
	Amount     *billing.Decimal  `json:"amount"`
	Units      *billing.Decimal  `json:"units"`
	Cumulative []billing.Decimal `json:"cumulative"`
	PerEvent   []billing.Decimal `json:"per_event"`
	Lines      []expectedLine    `json:"lines"`
}

// expectedLine is a tier or a group.
type expectedLine struct {
	Tier        int               `json:"tier"`
	Group       map[string]string `json:"group"`
	Units       *billing.Decimal  `json:"units"`
	Amount      *billing.Decimal  `json:"amount"`
	UsageAmount *billing.Decimal  `json:"usage_amount"`
	FlatFee     *billing.Decimal  `json:"flat_fee"`
}

// beyond names the first parameter of a case that asks for more than a tariff
// by itself does, "" when there is none. Parameters that ask for nothing are
// taken out: an empty list of credits, and whether this is the last bill of a
// period that has one bill.
func (c *testCase) beyond() string {
	for _, name := range []string{"commitments", "credits", "discounts", "filters", "unit_conversion"} {
		switch raw := c.Params[name]; string(raw) {
		case "null", "[]", "{}":
			delete(c.Params, name)
		case "":
		default:
			return name
		}
	}
	if mode, ok := c.Params["billing"]; ok && string(mode) != `"arrears"` {
		return "billing " + string(mode)
	}
	delete(c.Params, "final_run")
	return ""
}

// within reports whether a tariff's schema has all parameters of the case.
// Groups are the host's.
func (c *testCase) within(schema json.RawMessage) (bool, error) {
	var known struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(schema, &known); err != nil {
		return false, fmt.Errorf("schema of the parameters: %w", err)
	}
	for name := range c.Params {
		if _, ok := known.Properties[name]; !ok && name != "group_by" {
			return false, nil
		}
	}
	return true, nil
}

// groupBy takes the dimensions by which the host would group out of the
// parameters.
func (c *testCase) groupBy() ([]string, error) {
	raw, ok := c.Params["group_by"]
	if !ok {
		return nil, nil
	}
	delete(c.Params, "group_by")
	var names []string
	if err := json.Unmarshal(raw, &names); err != nil {
		return nil, fmt.Errorf("group_by: %w", err)
	}
	return names, nil
}
