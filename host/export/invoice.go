package export

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// Invoice is what an account owes for a billing period in one currency. Once
// issued it never changes.
type Invoice struct {
	ID       string // see InvoiceID
	Account  billing.AccountID
	Period   billing.Period // in the account's zone
	Currency billing.Currency
	Lines    []Line         // by tariff, subscription, version, group, and as the tariff lists them; then those of the rules, then adjustments
	Total    billing.Amount // exact sum of the lines' amounts
	// TotalText is Total with as many decimals as the finest of the lines has;
	// without trailing zeros when a line is not rounded.
	TotalText string
	// AccountDetails and Seller are what the catalog said when the invoice was
	// made: canonical JSON objects, nil for none.
	AccountDetails json.RawMessage
	Seller         json.RawMessage
	// Corrections say, for each earlier period that lines adjust, which events
	// changed it.
	Corrections []Correction
}

// Line is one line item: of a tariff, or of an invoice rule. One with an Adjustment
// corrects what was billed of an earlier period.
type Line struct {
	Rule         string // the invoice rule that made it; empty for a tariff's, and only then the next four are set
	Tariff       string // the tariff that made it
	Meter        string
	Subscription string
	Version      time.Time // effective_from of the tariff's version, UTC
	ID           string    // the tariff's or the rule's name for the line, "tier_2"
	Group        Group     // group_by dimensions and their values
	Description  string
	Quantity     billing.Quantity // in the meter's unit
	Amount       billing.Amount   // rounded once, as the tariff or the rule says
	// AmountText is Amount with the decimals of the tariff's rounding, zeros
	// included; without trailing zeros when the tariff does not round.
	AmountText string
	Unrounded  billing.Amount // as the tariff's plugin made it
	Module     string         // digest of that plugin, "sha256:…"
	Adjustment *Adjustment    // nil but for an adjustment
}

// Dimension is what an invoice rule may ask of a line: its own names, and the
// dimensions that its tariff groups by. What the line does not have is empty.
func (l *Line) Dimension(name string) string {
	switch name {
	case "rule":
		return l.Rule
	case "tariff":
		return l.Tariff
	case "meter":
		return l.Meter
	case "subscription":
		return l.Subscription
	case "line":
		return l.ID
	}
	for _, f := range l.Group {
		if f.Key == name {
			return f.Text
		}
	}
	return ""
}

// Head is what an invoice says beside its lines.
type Head struct {
	Account        billing.AccountID
	Period         billing.Period
	Currency       billing.Currency
	Counter        int             // 0 for the original, then counting corrections
	AccountDetails json.RawMessage // canonical JSON object; nil for none
	Seller         json.RawMessage // canonical JSON object; nil for none
}

// Slot is a finished slot: what one subscription, tariff version and group
// combination comes to in the period.
type Slot struct {
	Tariff       string
	Meter        string
	Subscription string
	Version      time.Time // effective_from
	Group        Group
	Currency     billing.Currency
	// Rounding is that of the finished lines. Its zero value keeps every digit:
	// the currency's default is filled in by the catalog.
	Rounding billing.Rounding
	Module   string
	Events   uint64 // priced
	Lines    []SlotLine
}

// SlotLine is a line item as a tariff leaves it, not rounded.
type SlotLine struct {
	ID          string
	Description string
	Quantity    billing.Quantity
	Amount      billing.Amount
}

// What NewInvoice refuses, beside [billing.ErrOverflow].
var (
	ErrCurrency  = errors.New("export: a slot is in another currency than its invoice")
	ErrSlotTwice = errors.New("export: a slot is given twice")
)

// InvoiceID names an invoice: ACCOUNT.PERIOD.CURRENCY.COUNTER, where ACCOUNT is
// the account's token, which has no dots, and counter 0 is the original.
func InvoiceID(account billing.AccountID, period billing.Period, currency billing.Currency, counter int) string {
	return account.Token() + "." + period.ID() + "." + string(currency) + "." + strconv.Itoa(counter)
}

// NewInvoice makes an invoice of an account's finished slots, as NewDraft does,
// without invoice rules.
func NewInvoice(head Head, slots []Slot) (Invoice, error) {
	d, err := NewDraft(head, slots)
	if err != nil {
		return Invoice{}, err
	}
	return d.Invoice(), nil
}

// Draft is an invoice while it is made: the lines of the tariffs, and those that
// invoice rules have added so far.
type Draft struct {
	invoice Invoice
	scale   int // the finest of the lines' roundings
}

// Rule is an invoice rule with the lines that it adds.
type Rule struct {
	Name     string
	Rounding billing.Rounding // of its finished lines
	Module   string
	Lines    []SlotLine
}

// Lines returns the lines so far. They must not be changed.
func (d *Draft) Lines() []Line { return d.invoice.Lines }

// Add adds the lines of an invoice rule, each rounded once. Lines with no quantity
// and no amount are left out. After an error the draft is as it was; it is
// billing.ErrOverflow, wrapped with the line it concerns.
func (d *Draft) Add(r Rule) error {
	total, lines, scale := d.invoice.Total, d.invoice.Lines, d.scale
	for i := range r.Lines {
		l := &r.Lines[i]
		if l.Quantity.IsZero() && l.Amount.IsZero() {
			continue
		}
		rounded, err := l.Amount.Round(r.Rounding)
		if err == nil {
			total, err = total.Add(rounded)
		}
		if err != nil {
			return fmt.Errorf("export: invoice rule %s, line %s: %w", r.Name, l.ID, err)
		}
		lines = append(lines, Line{
			Rule: r.Name, ID: l.ID, Description: l.Description, Quantity: l.Quantity,
			Amount: rounded, AmountText: amountText(rounded, finer(0, r.Rounding)), Unrounded: l.Amount, Module: r.Module,
		})
		scale = finer(scale, r.Rounding)
	}
	d.invoice.Total, d.invoice.Lines, d.scale = total, lines, scale
	return nil
}

// Invoice returns the invoice as it stands. One without lines has nothing to say;
// the caller drops it.
func (d *Draft) Invoice() Invoice {
	inv := d.invoice
	inv.TotalText = amountText(inv.Total, d.scale)
	return inv
}

// NewDraft begins an invoice with an account's finished slots of one period and
// currency, given in any order. Each line is rounded once, as its tariff says,
// and the total is the sum of the rounded lines.
//
// A line with no quantity and no amount is left out, save the first of a slot
// that had events: usage that costs nothing is still shown once.
//
// Errors are ErrCurrency, ErrSlotTwice, and billing.ErrOverflow, wrapped with
// the line they concern.
func NewDraft(head Head, slots []Slot) (*Draft, error) {
	inv := head.invoice()
	slots = slices.Clone(slots)
	slices.SortFunc(slots, Slot.compare)
	scale := 0
	for i := range slots {
		s := &slots[i]
		if s.Currency != head.Currency {
			return nil, fmt.Errorf("%w: tariff %s, %s on an invoice in %s", ErrCurrency, s.Tariff, s.Currency, head.Currency)
		}
		if i > 0 && slots[i-1].compare(*s) == 0 {
			return nil, fmt.Errorf("%w: tariff %s, subscription %s", ErrSlotTwice, s.Tariff, s.Subscription)
		}
		for j := range s.Lines {
			if s.skips(j) {
				continue
			}
			line, err := s.line(j)
			if err == nil {
				inv.Total, err = inv.Total.Add(line.Amount)
			}
			if err != nil {
				return nil, fmt.Errorf("export: tariff %s, subscription %s, line %s: %w", s.Tariff, s.Subscription, s.Lines[j].ID, err)
			}
			inv.Lines = append(inv.Lines, line)
			scale = finer(scale, s.Rounding)
		}
	}
	return &Draft{invoice: inv, scale: scale}, nil
}

// invoice begins the invoice.
func (h Head) invoice() Invoice {
	return Invoice{
		ID:      InvoiceID(h.Account, h.Period, h.Currency, h.Counter),
		Account: h.Account, Period: h.Period, Currency: h.Currency,
		AccountDetails: h.AccountDetails, Seller: h.Seller,
	}
}

// compare orders slots as their lines stand on an invoice.
func (s Slot) compare(o Slot) int {
	return cmp.Or(
		strings.Compare(s.Tariff, o.Tariff),
		strings.Compare(s.Subscription, o.Subscription),
		s.Version.Compare(o.Version),
		slices.CompareFunc(s.Group, o.Group, func(a, b billing.Field) int {
			return cmp.Or(strings.Compare(a.Text, b.Text), strings.Compare(a.Key, b.Key))
		}),
	)
}

// skips reports whether a line is left out.
func (s *Slot) skips(i int) bool {
	l := &s.Lines[i]
	return l.Quantity.IsZero() && l.Amount.IsZero() && (i > 0 || s.Events == 0)
}

// line finishes a line of the slot.
func (s *Slot) line(i int) (Line, error) {
	l := &s.Lines[i]
	rounded, err := l.Amount.Round(s.Rounding)
	if err != nil {
		return Line{}, err
	}
	return Line{
		Tariff: s.Tariff, Meter: s.Meter, Subscription: s.Subscription, Version: s.Version.UTC(),
		ID: l.ID, Group: s.Group, Description: l.Description,
		Quantity: l.Quantity, Amount: rounded, AmountText: amountText(rounded, finer(0, s.Rounding)),
		Unrounded: l.Amount, Module: s.Module,
	}, nil
}

// everyDigit is the scale of amounts that are not rounded.
const everyDigit = billing.Scale + 1

// finer returns the finer of a scale and that of a rounding. Amounts rounded to
// tens or hundreds are written as whole numbers.
func finer(scale int, r billing.Rounding) int {
	if r.Mode == billing.RoundNone {
		return everyDigit
	}
	return max(scale, r.Scale)
}

// amountText writes an amount with at least the decimals of a scale.
func amountText(a billing.Amount, scale int) string {
	if scale == everyDigit {
		return a.String()
	}
	return a.Fixed(scale)
}
