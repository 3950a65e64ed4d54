package focus

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// kind is the type of a column's values.
type kind int

const (
	plain    kind = iota // any text
	number               // a decimal without exponent
	date                 // an instant in UTC
	currency             // a code of ISO 4217
	object               // a JSON object
)

// rule is what the specification asks of a column by itself. A null is an empty
// cell.
type rule struct {
	name      string
	kind      kind
	mandatory bool     // the column must be there
	nullable  bool     // its cells may be empty
	values    []string // allowed; empty: all
}

// rules are those of the columns of version 1.2 that a dataset of ours may have:
// all mandatory ones, and the recommended and conditional ones that make sense for
// metered usage. (FOCUS 1.2, "Columns".)
func rules() []rule {
	must, may := true, true
	return []rule{
		{name: "BilledCost", kind: number, mandatory: must},
		{name: "BillingAccountId", mandatory: must},
		{name: "BillingAccountName", mandatory: must, nullable: may},
		{name: "BillingCurrency", kind: currency, mandatory: must},
		{name: "BillingPeriodEnd", kind: date, mandatory: must},
		{name: "BillingPeriodStart", kind: date, mandatory: must},
		{name: "ChargeCategory", mandatory: must, values: []string{usage, purchase, tax, credit, adjustment}},
		{name: "ChargeClass", mandatory: must, nullable: may, values: []string{correction}},
		{name: "ChargeDescription", mandatory: must, nullable: may},
		{name: "ChargePeriodEnd", kind: date, mandatory: must},
		{name: "ChargePeriodStart", kind: date, mandatory: must},
		{name: "ContractedCost", kind: number, mandatory: must},
		{name: "EffectiveCost", kind: number, mandatory: must},
		{name: "InvoiceIssuerName", mandatory: must},
		{name: "ListCost", kind: number, mandatory: must},
		{name: "PricingQuantity", kind: number, mandatory: must, nullable: may},
		{name: "PricingUnit", mandatory: must, nullable: may},
		{name: "ProviderName", mandatory: must},
		{name: "PublisherName", mandatory: must},
		{name: "ServiceCategory", mandatory: must, values: serviceCategories()},
		{name: "ServiceName", mandatory: must},

		{name: "AvailabilityZone", nullable: may},
		{name: "BillingAccountType", nullable: may},
		{name: "ChargeFrequency", values: []string{oneTime, recurring, usageBased}},
		{name: "ConsumedQuantity", kind: number, nullable: may},
		{name: "ConsumedUnit", nullable: may},
		{name: "ContractedUnitPrice", kind: number, nullable: may},
		{name: "InvoiceId", nullable: may},
		{name: "ListUnitPrice", kind: number, nullable: may},
		{name: "PricingCategory", nullable: may, values: []string{standard, "Dynamic", "Committed", "Other"}},
		{name: "PricingCurrency", kind: currency, nullable: may},
		{name: "RegionId", nullable: may},
		{name: "RegionName", nullable: may},
		{name: "ResourceId", nullable: may},
		{name: "ResourceName", nullable: may},
		{name: "ResourceType", nullable: may},
		{name: "ServiceSubcategory"},
		{name: "SkuId", nullable: may},
		{name: "SkuMeter", nullable: may},
		{name: "SkuPriceDetails", kind: object, nullable: may},
		{name: "SkuPriceId", nullable: may},
		{name: "SubAccountId", nullable: may},
		{name: "SubAccountName", nullable: may},
		{name: "SubAccountType", nullable: may},
		{name: "Tags", kind: object, nullable: may},
	}
}

// correction is the one ChargeClass.
const correction = "Correction"

func serviceCategories() []string {
	return []string{
		"AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases", "Developer Tools", "Identity",
		"Integration", "Internet of Things", "Management and Governance", "Media", "Migration", "Mobile", "Multicloud", "Networking",
		"Security", "Storage", "Web", otherCategory,
	}
}

// Checker checks the rows of a dataset. It may be used by any number of
// goroutines at once.
type Checker struct {
	columns []string
	rules   []*rule // by place; nil for a column of the provider's own
	at      map[string]int
}

// NewChecker looks at the names of a dataset's columns: each must be one of the
// specification, or begin with x_, and no mandatory one may be missing. The error
// lists all that is wrong.
func NewChecker(columns []string) (*Checker, error) {
	c := &Checker{columns: columns, rules: make([]*rule, len(columns)), at: map[string]int{}}
	var problems []error
	own := regexp.MustCompile(`^x_[A-Za-z][A-Za-z0-9_]*$`)
	known := map[string]*rule{}
	for _, r := range rules() {
		known[r.name] = &r
	}
	for i, name := range columns {
		if _, twice := c.at[name]; twice {
			problems = append(problems, fmt.Errorf("column %s stands there twice", name))
		}
		c.at[name], c.rules[i] = i, known[name]
		if c.rules[i] == nil && !own.MatchString(name) {
			problems = append(problems, fmt.Errorf("column %q is none of FOCUS %s and does not begin with x_", name, Version))
		}
	}
	for _, r := range rules() {
		if _, ok := c.at[r.name]; r.mandatory && !ok {
			problems = append(problems, fmt.Errorf("the mandatory column %s is missing", r.name))
		}
	}
	return c, errors.Join(problems...)
}

// Check checks a row: each cell by itself, and what the cells ask of each other.
// The error lists all that is wrong.
func (c *Checker) Check(row []string) error {
	if len(row) != len(c.columns) {
		return fmt.Errorf("the row has %d cells, not %d", len(row), len(c.columns))
	}
	var problems []error
	for i, cell := range row {
		if c.rules[i] == nil {
			continue
		}
		if err := c.rules[i].check(cell); err != nil {
			problems = append(problems, fmt.Errorf("%s %w", c.columns[i], err))
		}
	}
	return errors.Join(append(problems, c.conditions(row)...)...)
}

// check looks at a cell by itself.
func (r *rule) check(cell string) error {
	if cell == "" {
		if r.nullable {
			return nil
		}
		return errors.New("is empty")
	}
	if len(r.values) > 0 && !slices.Contains(r.values, cell) {
		return fmt.Errorf("is %q, not one of %s", cell, strings.Join(r.values, ", "))
	}
	var err error
	switch r.kind {
	case number:
		_, err = billing.ParseDecimal(cell)
	case date:
		var t time.Time
		if t, err = time.Parse("2006-01-02T15:04:05.999999999Z", cell); err == nil && t.Year() < 1 {
			err = errors.New("no year")
		}
	case currency:
		_, err = billing.ParseCurrency(cell)
	case object:
		var members map[string]any
		err = json.Unmarshal([]byte(cell), &members)
	case plain:
	}
	if err != nil {
		return fmt.Errorf("is %q: %w", cell, err)
	}
	return nil
}

// get returns a cell by the name of its column, and whether there is one that is
// not empty.
func (c *Checker) get(row []string, name string) (string, bool) {
	i, ok := c.at[name]
	if !ok {
		return "", false
	}
	return row[i], row[i] != ""
}

// conditions checks what the specification asks of one column depending on
// others.
func (c *Checker) conditions(row []string) []error {
	var problems []error
	must := func(holds bool, format string, args ...any) {
		if !holds {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	category, _ := c.get(row, "ChargeCategory")
	class, _ := c.get(row, "ChargeClass")
	sold := (category == usage || category == purchase) && class != correction
	needs := func(when bool, why string, names ...string) {
		for _, name := range names {
			if _, there := c.at[name]; !there || !when {
				continue
			}
			_, ok := c.get(row, name)
			must(ok, "%s is empty, %s", name, why)
		}
	}
	refuses := func(when bool, why string, names ...string) {
		for _, name := range names {
			_, ok := c.get(row, name)
			must(!when || !ok, "%s is not empty, %s", name, why)
		}
	}
	needs(sold, "and the charge is "+category, "PricingQuantity", "PricingCategory", "SkuId", "SkuPriceId")
	needs(category == usage && class != correction, "and the charge is Usage", "ConsumedQuantity")
	refuses(category != usage, "and the charge is no Usage", "ConsumedQuantity")
	refuses(category == tax, "and the charge is Tax", "PricingQuantity", "PricingCategory", "SkuId", "SkuPriceId", "ListUnitPrice", "ContractedUnitPrice")
	frequency, _ := c.get(row, "ChargeFrequency")
	must(category != purchase || frequency != usageBased, "ChargeFrequency is %s for a Purchase", usageBased)
	for _, pair := range [][2]string{
		{"ConsumedQuantity", "ConsumedUnit"}, {"PricingQuantity", "PricingUnit"}, {"RegionId", "RegionName"}, {"SkuId", "SkuMeter"},
	} {
		_, one := c.get(row, pair[0])
		_, other := c.get(row, pair[1])
		_, there := c.at[pair[1]]
		must(one == other || !there, "only one of %s and %s is empty", pair[0], pair[1])
	}
	for _, span := range []string{"BillingPeriod", "ChargePeriod"} {
		start, _ := c.get(row, span+"Start")
		end, _ := c.get(row, span+"End")
		from, fromErr := time.Parse(time.RFC3339Nano, start)
		to, toErr := time.Parse(time.RFC3339Nano, end)
		must(fromErr != nil || toErr != nil || from.Before(to), "%s ends at %s and begins at %s", span, end, start)
	}
	return problems
}
