package export

import (
	"fmt"
	"strconv"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// Column is one column of the table of line items, which CSV and Parquet files
// have alike. What a new kind of line brings is a column more in [Columns].
type Column struct {
	Name string
	Kind ColumnKind
	// Optional says that a number or an instant may be missing; its text is empty
	// then.
	Optional bool
	// whole says that it is the same in all lines of an invoice.
	whole bool
	of    func(inv *Invoice, l *Line) (Cell, error)
	// One of these gives what of does, at less cost; of most columns, and millions of
	// cells are written.
	text   func(inv *Invoice, l *Line) string
	number func(l *Line) (n billing.Decimal, ok bool)
	time   func(inv *Invoice, l *Line) time.Time
}

// ColumnKind is the type of a column.
type ColumnKind int

// The kinds of columns.
const (
	KindText   ColumnKind = iota // any text, the empty one where there is nothing to say
	KindNumber                   // a decimal
	KindTime                     // an instant
)

// Cell is one value.
type Cell struct {
	// Text is how the value is written: numbers as plain decimals at their scale,
	// times as RFC 3339 with the account's offset, nothing for a missing one.
	Text   string
	Number billing.Decimal // of a KindNumber
	Time   time.Time       // of a KindTime; zero when it is missing
	// Missing says that an optional value is not there.
	Missing bool
}

// Columns returns the columns of the table of line items, in order.
func Columns() []Column {
	return []Column{
		of("invoice", func(inv *Invoice) string { return inv.ID }),
		of("account", func(inv *Invoice) string { return string(inv.Account) }),
		of("period", func(inv *Invoice) string { return inv.Period.ID() }),
		whole(instant("period_start", func(inv *Invoice, _ *Line) time.Time { return inv.Period.Start })),
		whole(instant("period_end", func(inv *Invoice, _ *Line) time.Time { return inv.Period.End })),
		of("currency", func(inv *Invoice) string { return string(inv.Currency) }),
		text("tariff", func(l *Line) string { return l.Tariff }),
		text("meter", func(l *Line) string { return l.Meter }),
		text("subscription", func(l *Line) string { return l.Subscription }),
		instant("version", func(_ *Invoice, l *Line) time.Time { return l.Version }),
		text("line", func(l *Line) string { return l.ID }),
		{Name: "group", Kind: KindText, of: groupCell},
		text("description", func(l *Line) string { return l.Description }),
		number("quantity", func(l *Line) billing.Decimal { return l.Quantity.D() }),
		{Name: "amount", Kind: KindNumber, of: amountCell},
		number("unrounded", func(l *Line) billing.Decimal { return l.Unrounded.D() }),
		text("module", func(l *Line) string { return l.Module }),
		text("rule", func(l *Line) string { return l.Rule }),
		text("adjusts_invoice", func(l *Line) string {
			if l.Adjustment == nil {
				return ""
			}
			return l.Adjustment.Invoice
		}),
		text("adjusts_period", func(l *Line) string {
			if l.Adjustment == nil {
				return ""
			}
			return l.Adjustment.Period.ID()
		}),
		adjusted("old_quantity", func(a *Adjustment) billing.Decimal { return a.OldQuantity.D() }),
		adjusted("new_quantity", func(a *Adjustment) billing.Decimal { return a.NewQuantity.D() }),
		adjusted("old_amount", func(a *Adjustment) billing.Decimal { return a.OldAmount.D() }),
		adjusted("new_amount", func(a *Adjustment) billing.Decimal { return a.NewAmount.D() }),
		{Name: "adjustment_events", Kind: KindText, of: eventsCell},
		{Name: "adjustment_events_more", Kind: KindNumber, Optional: true, of: moreCell},
	}
}

// of makes a column of a text that is the same in all lines of an invoice.
func of(name string, of func(*Invoice) string) Column {
	return whole(textOf(name, func(inv *Invoice, _ *Line) string { return of(inv) }))
}

func textOf(name string, of func(*Invoice, *Line) string) Column {
	return Column{Name: name, Kind: KindText, text: of, of: func(inv *Invoice, l *Line) (Cell, error) { return Cell{Text: of(inv, l)}, nil }}
}

func whole(c Column) Column {
	c.whole = true
	return c
}

func text(name string, of func(*Line) string) Column {
	return textOf(name, func(_ *Invoice, l *Line) string { return of(l) })
}

func instant(name string, of func(*Invoice, *Line) time.Time) Column {
	return Column{Name: name, Kind: KindTime, Optional: true, time: of, of: func(inv *Invoice, l *Line) (Cell, error) {
		t := of(inv, l)
		if t.IsZero() {
			return Cell{}, nil
		}
		return Cell{Text: t.Format(time.RFC3339Nano), Time: t}, nil
	}}
}

func number(name string, of func(*Line) billing.Decimal) Column {
	return Column{
		Name: name, Kind: KindNumber, of: func(_ *Invoice, l *Line) (Cell, error) { return numberCell(of(l)), nil },
		number: func(l *Line) (billing.Decimal, bool) { return of(l), true },
	}
}

func numberCell(n billing.Decimal) Cell { return Cell{Text: n.String(), Number: n} }

// amountCell is the amount as the invoice writes it. That is a text, so it is checked
// to be a number: it gets no defence against formulas.
func amountCell(_ *Invoice, l *Line) (Cell, error) {
	n, err := billing.ParseDecimal(l.AmountText)
	return Cell{Text: l.AmountText, Number: n}, err
}

// adjusted makes a column of a number that adjustments have.
func adjusted(name string, of func(*Adjustment) billing.Decimal) Column {
	number := func(l *Line) (n billing.Decimal, ok bool) {
		if l.Adjustment == nil {
			return n, false
		}
		return of(l.Adjustment), true
	}
	return Column{Name: name, Kind: KindNumber, Optional: true, number: number, of: func(_ *Invoice, l *Line) (Cell, error) {
		n, ok := number(l)
		if !ok {
			return Cell{}, nil
		}
		return numberCell(n), nil
	}}
}

// eventsCell are the events because of which the line adjusts.
func eventsCell(inv *Invoice, l *Line) (Cell, error) {
	c := inv.CorrectionOf(l)
	if c == nil {
		return Cell{}, nil
	}
	text, err := c.EventsJSON()
	return Cell{Text: text}, err
}

// moreCell is how many events there are beyond those.
func moreCell(inv *Invoice, l *Line) (Cell, error) {
	c := inv.CorrectionOf(l)
	if c == nil {
		return Cell{}, nil
	}
	n, err := billing.ParseDecimal(strconv.FormatUint(c.More, 10))
	return numberCell(n), err
}

func groupCell(_ *Invoice, l *Line) (Cell, error) {
	if len(l.Group) == 0 {
		return Cell{}, nil
	}
	b, err := l.Group.MarshalJSON()
	return Cell{Text: string(b)}, err
}

// cell is a line's cell.
func (c *Column) cell(inv *Invoice, l *Line) (Cell, error) {
	cell, err := c.of(inv, l)
	cell.Missing = c.Optional && cell.Text == ""
	return cell, err
}

// typed is a line's cell, without the text of numbers and times where that can be
// left out.
func (c *Column) typed(inv *Invoice, l *Line) (Cell, error) {
	switch {
	case c.text != nil:
		return Cell{Text: c.text(inv, l)}, nil
	case c.number != nil:
		n, ok := c.number(l)
		return Cell{Number: n, Missing: !ok}, nil
	case c.time != nil:
		t := c.time(inv, l)
		return Cell{Time: t, Missing: t.IsZero()}, nil
	default:
		return c.cell(inv, l)
	}
}

// failed is the error of a cell.
func (c *Column) failed(err error, inv *Invoice, l *Line) error {
	return fmt.Errorf("export: invoice %s, line %s, %s: %w", inv.ID, l.ID, c.Name, err)
}

// Rows makes the rows of invoices: the cells of each line, one for each of [Columns].
// What all lines of an invoice have alike is made once. It belongs to one goroutine.
type Rows struct {
	columns []Column
	cells   []Cell
}

// NewRows makes a Rows.
func NewRows() *Rows {
	columns := Columns()
	return &Rows{columns: columns, cells: make([]Cell, len(columns))}
}

// Columns are those of the rows. They must not be changed.
func (r *Rows) Columns() []Column { return r.columns }

// Each calls fn with the cells of each line, in order; they are valid during the
// call. Its errors are those of fn, and that an amount's text is no number.
func (r *Rows) Each(inv *Invoice, fn func(l *Line, cells []Cell) error) error {
	return r.each(inv, (*Column).cell, fn)
}

// Typed does the same for those who write numbers and times in another form: the
// cells of those may have no Text.
func (r *Rows) Typed(inv *Invoice, fn func(l *Line, cells []Cell) error) error {
	return r.each(inv, (*Column).typed, fn)
}

func (r *Rows) each(inv *Invoice, of func(*Column, *Invoice, *Line) (Cell, error), fn func(l *Line, cells []Cell) error) error {
	for i := range inv.Lines {
		l := &inv.Lines[i]
		for j := range r.columns {
			c := &r.columns[j]
			if c.whole && i > 0 {
				continue
			}
			var err error
			if r.cells[j], err = of(c, inv, l); err != nil {
				return c.failed(err, inv, l)
			}
		}
		if err := fn(l, r.cells); err != nil {
			return err
		}
	}
	return nil
}
