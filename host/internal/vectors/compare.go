package vectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// expectedLine is one line that a case asserts: a tier, a group, a kind of price, a share, a grant's balance, a
// window, or what a line item's coupons and taxes are.
type expectedLine struct {
	Tier        int               `json:"tier"`
	Group       map[string]string `json:"group"`
	Kind        string            `json:"kind"`
	Key         string            `json:"key"`
	Grant       string            `json:"grant"`
	Start       *time.Time        `json:"-"` // of a window, whatever the case calls it
	Units       *billing.Decimal  `json:"units"`
	Amount      *billing.Decimal  `json:"amount"`
	UsageAmount *billing.Decimal  `json:"usage_amount"`
	FlatFee     *billing.Decimal  `json:"flat_fee"`
	Balance     *billing.Decimal  `json:"balance"`
	Coupon      *billing.Decimal  `json:"coupon"`
	Tax         *billing.Decimal  `json:"tax"`
}

// UnmarshalJSON reads a line. The start of a window has one of several names.
func (l *expectedLine) UnmarshalJSON(data []byte) error {
	type plain expectedLine
	if err := json.Unmarshal(data, (*plain)(l)); err != nil {
		return err
	}
	var all params
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	for _, name := range []string{"window_start", "start", "from", "window", "time"} {
		var at time.Time
		if raw, ok := all[name]; ok && json.Unmarshal(raw, &at) == nil {
			l.Start = &at
			break
		}
	}
	for _, name := range []string{"value", "quantity"} {
		if raw, ok := all[name]; ok && l.Units == nil {
			if err := json.Unmarshal(raw, &l.Units); err != nil {
				return err
			}
		}
	}
	return nil
}

// feeSuffix ends the ids of lines whose quantity counts fees and not units.
const feeSuffix = "fee"

// differ notes an asserted number that is not what came out.
func differ(wrong *[]string, what string, want *billing.Decimal, got billing.Decimal) {
	if want != nil && want.Cmp(got) != 0 {
		*wrong = append(*wrong, fmt.Sprintf("%s: want %s, got %s", what, want, got))
	}
}

// compare compares the finished lines with what the case expects.
func (r *pricing) compare(wrong *[]string, lines []line) error {
	want := &r.c.Expected
	total, err := r.total(lines)
	if err != nil {
		return err
	}
	differ(wrong, "amount", want.Amount, total)
	units, err := units(lines, func(line) bool { return true })
	if err != nil {
		return err
	}
	differ(wrong, "units", want.Units, units)
	if err := r.compareTaxes(wrong, lines, total); err != nil {
		return err
	}
	for i, l := range want.Lines {
		if err := r.compareLine(wrong, i, l, lines); err != nil {
			return err
		}
	}
	return r.compareCount(wrong, lines)
}

// total is what the lines come to. The totals of an invoice are those of its line items and what the rule adds.
func (r *pricing) total(lines []line) (billing.Decimal, error) {
	total, err := sum(lines, func(line) bool { return true })
	if r.p.tariff != "invoice_totals" {
		return total, err
	}
	for _, e := range r.c.Events {
		if e.Amount != nil && err == nil {
			total, err = total.Add(*e.Amount)
		}
	}
	return total, err
}

// compareTaxes compares an invoice's totals before and of tax.
func (r *pricing) compareTaxes(wrong *[]string, lines []line, total billing.Decimal) error {
	tax, err := sum(lines, func(l line) bool { return l.id == "tax" || strings.HasPrefix(l.id, "tax_") })
	if err != nil {
		return err
	}
	net, err := total.Sub(tax)
	if err != nil {
		return err
	}
	differ(wrong, "tax", r.c.Expected.Tax, tax)
	differ(wrong, "subtotal", r.c.Expected.Subtotal, net)
	differ(wrong, "subtotal_excluding_tax", r.c.Expected.Net, net)
	return nil
}

// units sums up the quantities of some lines: flat fees and invoice rules have none.
func units(lines []line, which func(line) bool) (sum billing.Decimal, err error) {
	for _, l := range lines {
		if l.slot != nil && which(l) && !strings.HasSuffix(l.id, feeSuffix) && err == nil {
			sum, err = sum.Add(l.Quantity)
		}
	}
	return sum, err
}

// asserted is one number of a line that a case asserts, with the lines that it is about.
type asserted struct {
	name  string
	want  *billing.Decimal
	units bool // rather than the amount
	which func(line) bool
}

// compareLine compares one line.
func (r *pricing) compareLine(wrong *[]string, i int, want expectedLine, lines []line) error {
	what := fmt.Sprintf("lines[%d]", i)
	numbers, err := r.numbers(i, want)
	if len(numbers) == 0 {
		*wrong = append(*wrong, what+": names nothing that is known")
	}
	for _, n := range numbers {
		add := sum
		if n.units {
			add = units
		}
		got, addErr := add(lines, n.which)
		if err = errors.Join(err, addErr); err == nil {
			differ(wrong, what+n.name, n.want, got)
		}
	}
	return err
}

// numbers returns what a line asserts: that of a tier, a window, a group, a kind of price, a share, a grant, or a line
// item of an invoice.
func (r *pricing) numbers(i int, want expectedLine) ([]asserted, error) {
	both := func(which func(line) bool) []asserted {
		return []asserted{{".units", want.Units, true, which}, {".amount", want.Amount, false, which}}
	}
	ofGroup := func(l line) bool { return want.Group == nil || maps.Equal(l.slot.group, want.Group) }
	switch {
	case want.Tier > 0:
		tier := "tier_" + strconv.Itoa(want.Tier)
		return []asserted{
			{".units", want.Units, true, byID(tier)},
			{".usage_amount", want.UsageAmount, false, byID(tier)},
			{".flat_fee", want.FlatFee, false, byID(tier + "_flat_fee")},
		}, nil
	case want.Start != nil:
		return both(func(l line) bool { return l.slot != nil && l.slot.from.Equal(*want.Start) && ofGroup(l) }), nil
	case want.Group != nil:
		return both(func(l line) bool { return l.slot != nil && ofGroup(l) }), nil
	case want.Kind == "fixed":
		return []asserted{{".amount", want.Amount, false, byID("fixed_fee")}}, nil
	case want.Kind != "":
		return []asserted{{".amount", want.Amount, false, byID(want.Kind)}}, nil
	case want.Key != "":
		return []asserted{{".amount", want.Amount, false, r.described(want.Key)}}, nil
	case want.Grant != "":
		return []asserted{{".balance", want.Balance, true, r.described(want.Grant)}}, nil
	case want.Coupon != nil || want.Tax != nil:
		number := strconv.Itoa(i + 1)
		found := []asserted{{".tax", want.Tax, false, byID("tax_" + number)}}
		if want.Coupon == nil {
			return found, nil
		}
		off, err := want.Coupon.Neg()
		return append(found, asserted{".coupon", &off, false, byID("coupon_" + number)}), err
	case (want.Units != nil || want.Amount != nil) && i < len(r.slots):
		return both(func(l line) bool { return l.slot == r.slots[i] }), nil // windows without a start, in order
	}
	return nil, nil
}

func byID(id string) func(line) bool { return func(l line) bool { return l.id == id } }

// described finds the lines of the tariff by what the invoice calls them.
func (r *pricing) described(text string) func(line) bool {
	return func(l line) bool {
		return slices.ContainsFunc(r.tariff.plan.Lines, func(s plugins.LineSpec) bool { return s.ID == l.id && s.Description == text })
	}
}

// compareCount compares the number of lines where those without a value are left out: windows and shares.
func (r *pricing) compareCount(wrong *[]string, lines []line) error {
	if len(r.c.Expected.Lines) == 0 {
		return nil
	}
	got := -1
	switch {
	case r.p.window > 0:
		got = len(r.slots)
	case r.p.tariff == "allocation":
		got = 0
		for _, l := range lines {
			if !l.Amount.IsZero() {
				got++
			}
		}
	}
	if got >= 0 && got != len(r.c.Expected.Lines) {
		*wrong = append(*wrong, fmt.Sprintf("lines: want %d, got %d", len(r.c.Expected.Lines), got))
	}
	return nil
}
