// Package focus writes invoices as a cost and usage dataset of FOCUS, the FinOps
// Open Cost and Usage Specification, version 1.2, and checks such datasets.
//
//	[]export.Invoice ──Writer──▶ focus.csv, a row for each line item
//	       any rows  ──Check──▶ what breaks a rule of the specification
//
// What a line becomes is in one table, [Columns]; what the specification asks of a
// column is in another, which knows nothing of the first. The package is pure.
package focus

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/sdk/billing"
)

// Version is that of the specification.
const Version = "1.2"

// ErrProvider reports an invoice that does not say who sells.
var ErrProvider = errors.New("focus: the invoice has no name of the seller, which FOCUS asks for: name one with --provider, and put billing.seller.name into the catalog")

// Values of columns that the specification lists.
const (
	usage, purchase, tax, credit, adjustment = "Usage", "Purchase", "Tax", "Credit", "Adjustment"
	oneTime, recurring, usageBased           = "One-Time", "Recurring", "Usage-Based"
	standard                                 = "Standard"
	otherCategory, otherSubcategory          = "Other", "Other (Other)"
)

// units is the unit of quantities: invoices do not carry the meter's own.
const units = "Units"

// charge is a line with what is worked out once for its row.
type charge struct {
	inv      *export.Invoice
	line     *export.Line
	category string
	provider string
	customer string
	// correction is that of a line that adjusts, events its list; nil and empty for
	// other lines.
	correction *export.Correction
	events     string
}

// column is a column of the dataset.
type column struct {
	name string
	of   func(c *charge) string
	text bool // free text, which is made safe for spreadsheets
	kind kind // of a column of our own; the specification has those of the others
}

// columns are those of the dataset: all that are mandatory, those that apply to us,
// and, with x_ in front, our own.
func columns() []column {
	value := func(name string, of func(*charge) string) column { return column{name: name, of: of} }
	text := func(name string, of func(*charge) string) column { return column{name: name, of: of, text: true} }
	provider := func(c *charge) string { return c.provider }
	return append([]column{
		value("BilledCost", func(c *charge) string { return c.line.AmountText }),
		text("BillingAccountId", func(c *charge) string { return string(c.inv.Account) }),
		text("BillingAccountName", func(c *charge) string { return c.customer }),
		value("BillingCurrency", func(c *charge) string { return string(c.inv.Currency) }),
		value("BillingPeriodEnd", func(c *charge) string { return instant(c.inv.Period.End) }),
		value("BillingPeriodStart", func(c *charge) string { return instant(c.inv.Period.Start) }),
		value("ChargeCategory", func(c *charge) string { return c.category }),
		value("ChargeClass", (*charge).class),
		text("ChargeDescription", func(c *charge) string { return c.line.Description }),
		value("ChargeFrequency", (*charge).frequency),
		value("ChargePeriodEnd", func(c *charge) string { return instant(c.period().End) }),
		value("ChargePeriodStart", func(c *charge) string { return instant(c.period().Start) }),
		value("ConsumedQuantity", func(c *charge) string { return c.onlyFor(c.line.Quantity.String(), usage) }),
		value("ConsumedUnit", func(c *charge) string { return c.onlyFor(units, usage) }),
		value("ContractedCost", (*charge).cost),
		value("EffectiveCost", (*charge).cost),
		text("InvoiceId", func(c *charge) string { return c.inv.ID }),
		text("InvoiceIssuerName", provider),
		value("ListCost", (*charge).cost),
		value("PricingCategory", func(c *charge) string { return c.onlyFor(standard, usage, purchase) }),
		value("PricingQuantity", (*charge).priced),
		value("PricingUnit", func(c *charge) string { return c.onlyFor(units, usage, purchase) }),
		text("ProviderName", provider),
		text("PublisherName", provider),
		text("RegionId", func(c *charge) string { return c.line.Dimension("region") }),
		text("RegionName", func(c *charge) string { return c.line.Dimension("region") }),
		value("ServiceCategory", func(*charge) string { return otherCategory }),
		text("ServiceName", (*charge).service),
		value("ServiceSubcategory", func(*charge) string { return otherSubcategory }),
		text("SkuId", func(c *charge) string { return c.line.Tariff }),
		text("SkuMeter", func(c *charge) string { return c.line.Meter }),
		text("SkuPriceId", (*charge).price),
		text("Tags", (*charge).tags),
	}, ownColumns()...)
}

// ownColumns are those that the specification does not have.
func ownColumns() []column {
	text := func(name string, of func(*charge) string) column { return column{name: name, of: of, text: true} }
	own := func(name string, kind kind, of func(*charge) string) column {
		return column{name: name, of: of, kind: kind}
	}
	adjusted := func(name string, of func(*export.Adjustment) string) column {
		return own(name, number, func(c *charge) string {
			if c.line.Adjustment == nil {
				return ""
			}
			return of(c.line.Adjustment)
		})
	}
	return []column{
		text("x_AdjustedInvoiceId", func(c *charge) string {
			if c.line.Adjustment == nil {
				return ""
			}
			return c.line.Adjustment.Invoice
		}),
		own("x_AdjustmentEvents", object, func(c *charge) string { return c.events }),
		own("x_AdjustmentEventsMore", number, func(c *charge) string {
			if c.correction == nil {
				return ""
			}
			return strconv.FormatUint(c.correction.More, 10)
		}),
		text("x_InvoiceRule", func(c *charge) string { return c.line.Rule }),
		text("x_LineId", func(c *charge) string { return c.line.ID }),
		adjusted("x_NewBilledCost", func(a *export.Adjustment) string { return a.NewAmount.String() }),
		adjusted("x_NewQuantity", func(a *export.Adjustment) string { return a.NewQuantity.String() }),
		adjusted("x_OldBilledCost", func(a *export.Adjustment) string { return a.OldAmount.String() }),
		adjusted("x_OldQuantity", func(a *export.Adjustment) string { return a.OldQuantity.String() }),
		own("x_PluginDigest", plain, func(c *charge) string { return c.line.Module }),
		text("x_Subscription", func(c *charge) string { return c.line.Subscription }),
	}
}

// Columns returns the names of the columns in order.
func Columns() []string {
	var names []string
	for _, c := range columns() {
		names = append(names, c.name)
	}
	return names
}

// class says of a line that it corrects an earlier period.
func (c *charge) class() string {
	if c.line.Adjustment != nil {
		return correction
	}
	return ""
}

// period is that of the usage: of a correction, the one that it corrects.
func (c *charge) period() billing.Period {
	if c.line.Adjustment != nil {
		return c.line.Adjustment.Period
	}
	return c.inv.Period
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// categoryOf says what a line is to the specification. A tariff's line with a
// quantity is usage, one without is a fee; of an invoice rule, what is called tax
// is tax, what lowers the invoice is a credit, and what raises it (a minimum
// commitment) falls into no other category.
func categoryOf(l *export.Line) string {
	switch {
	case l.Rule != "" && (l.ID == "tax" || strings.HasPrefix(l.ID, "tax_")):
		return tax
	case l.Rule == "" && (!l.Quantity.IsZero() || l.Amount.IsZero()):
		return usage
	case l.Amount.Sign() < 0:
		return credit
	case l.Rule == "":
		return purchase
	default:
		return adjustment
	}
}

// onlyFor is a value that charges of some categories have.
func (c *charge) onlyFor(value string, categories ...string) string {
	for _, category := range categories {
		if c.category == category {
			return value
		}
	}
	return ""
}

func (c *charge) frequency() string {
	switch c.category {
	case usage:
		return usageBased
	case purchase:
		return recurring
	default:
		return oneTime
	}
}

// cost is the exact amount of what is priced, before it is rounded to what is
// billed. What stands for itself costs what is billed.
func (c *charge) cost() string {
	if c.category == usage || c.category == purchase {
		return c.line.Unrounded.String()
	}
	return c.line.AmountText
}

// priced is the quantity that was priced; a fee is bought once.
func (c *charge) priced() string {
	if c.category == purchase {
		return "1"
	}
	return c.onlyFor(c.line.Quantity.String(), usage)
}

func (c *charge) service() string {
	if c.line.Rule != "" {
		return c.line.Rule
	}
	return c.line.Meter
}

// price names the price of a line: it stays the same as long as the tariff's
// version is in force.
func (c *charge) price() string {
	if c.line.Tariff == "" {
		return ""
	}
	return c.line.Tariff + "/" + c.line.Version.UTC().Format(time.RFC3339Nano) + "/" + c.line.ID
}

// tags are the dimensions that the line is grouped by.
func (c *charge) tags() string {
	if len(c.line.Group) == 0 {
		return ""
	}
	b, err := c.line.Group.MarshalJSON()
	if err != nil { // texts alone: it cannot be
		return ""
	}
	return string(b)
}

// nameIn reads the name of a party's details.
func nameIn(details json.RawMessage) (string, error) {
	if len(details) == 0 {
		return "", nil
	}
	var party struct {
		Name any `json:"name"`
	}
	if err := json.Unmarshal(details, &party); err != nil {
		return "", fmt.Errorf("focus: details of a party: %w", err)
	}
	name, _ := party.Name.(string) // a name that is no text is none
	return name, nil
}

// Rows returns the cells of an invoice's lines. provider names the seller where
// the invoice does not. Its error is ErrProvider, wrapped.
func Rows(inv *export.Invoice, provider string) ([][]string, error) {
	list := columns()
	rows := make([][]string, 0, len(inv.Lines))
	err := eachCharge(inv, provider, func(c *charge) error {
		row := make([]string, len(list))
		for j := range list {
			row[j] = list[j].of(c)
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

// eachCharge calls fn with the charge of each line.
func eachCharge(inv *export.Invoice, provider string, fn func(c *charge) error) error {
	seller, err := nameIn(inv.Seller)
	if err != nil {
		return err
	}
	customer, err := nameIn(inv.AccountDetails)
	if err != nil {
		return err
	}
	if seller == "" {
		seller = provider
	}
	if seller == "" {
		return fmt.Errorf("%w (%s)", ErrProvider, inv.ID)
	}
	for i := range inv.Lines {
		l := &inv.Lines[i]
		c := &charge{inv: inv, line: l, category: categoryOf(l), provider: seller, customer: customer, correction: inv.CorrectionOf(l)}
		if c.correction != nil {
			if c.events, err = c.correction.EventsJSON(); err != nil {
				return err
			}
		}
		if err := fn(c); err != nil {
			return err
		}
	}
	return nil
}

// CSVRows makes the rows of invoices as [Writer] writes them. It belongs to one
// goroutine.
type CSVRows struct {
	provider string
	columns  []column
	row      []string
	text     bytes.Buffer
	out      *csv.Writer // on text
}

// NewCSVRows makes a CSVRows; see Rows for provider.
func NewCSVRows(provider string) *CSVRows {
	r := &CSVRows{provider: provider, columns: columns()}
	r.out = csv.NewWriter(&r.text)
	return r
}

// Header is the row of column names.
func Header() []byte {
	return []byte(strings.Join(Columns(), ",") + "\n")
}

// Append appends the rows of an invoice's lines. Texts that a spreadsheet would run
// are made safe as [export.SafeText] says. Its error is ErrProvider, wrapped.
func (r *CSVRows) Append(b []byte, inv *export.Invoice) ([]byte, error) {
	r.text.Reset()
	err := eachCharge(inv, r.provider, func(c *charge) error {
		r.row = r.row[:0]
		for j := range r.columns {
			text := r.columns[j].of(c)
			if r.columns[j].text {
				text = export.SafeText(text)
			}
			r.row = append(r.row, text)
		}
		return r.out.Write(r.row)
	})
	r.out.Flush()
	return append(b, r.text.Bytes()...), errors.Join(err, r.out.Error())
}

// Writer writes a dataset as CSV. It belongs to one goroutine.
type Writer struct {
	out     io.Writer
	rows    *CSVRows
	buffer  []byte
	started bool
}

// NewWriter makes a writer on w; see Rows for provider.
func NewWriter(w io.Writer, provider string) *Writer {
	return &Writer{out: w, rows: NewCSVRows(provider)}
}

// Write writes the lines of an invoice.
func (w *Writer) Write(inv *export.Invoice) error {
	var err error
	if w.buffer, err = w.rows.Append(w.buffer[:0], inv); err != nil {
		return err
	}
	if err := w.header(); err != nil {
		return err
	}
	_, err = w.out.Write(w.buffer)
	return err
}

func (w *Writer) header() error {
	if w.started {
		return nil
	}
	w.started = true
	_, err := w.out.Write(Header())
	return err
}

// Close completes a dataset that has no rows.
func (w *Writer) Close() error { return w.header() }

// Plain takes the defence against formulas off a row as it was read.
func Plain(row []string) {
	for j, c := range columns() {
		if c.text {
			row[j] = export.PlainText(row[j])
		}
	}
}
