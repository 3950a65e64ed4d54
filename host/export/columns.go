package export

import (
	"fmt"
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
	of       func(inv *Invoice, l *Line) (Cell, error)
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
}

// Columns returns the columns of the table of line items, in order.
func Columns() []Column {
	return []Column{
		text("invoice", func(inv *Invoice, _ *Line) string { return inv.ID }),
		text("account", func(inv *Invoice, _ *Line) string { return string(inv.Account) }),
		text("period", func(inv *Invoice, _ *Line) string { return inv.Period.ID() }),
		instant("period_start", func(inv *Invoice, _ *Line) time.Time { return inv.Period.Start }),
		instant("period_end", func(inv *Invoice, _ *Line) time.Time { return inv.Period.End }),
		text("currency", func(inv *Invoice, _ *Line) string { return string(inv.Currency) }),
		text("tariff", func(_ *Invoice, l *Line) string { return l.Tariff }),
		text("meter", func(_ *Invoice, l *Line) string { return l.Meter }),
		text("subscription", func(_ *Invoice, l *Line) string { return l.Subscription }),
		instant("version", func(_ *Invoice, l *Line) time.Time { return l.Version }),
		text("line", func(_ *Invoice, l *Line) string { return l.ID }),
		{Name: "group", Kind: KindText, of: groupCell},
		text("description", func(_ *Invoice, l *Line) string { return l.Description }),
		number("quantity", func(l *Line) string { return l.Quantity.String() }),
		number("amount", func(l *Line) string { return l.AmountText }),
		number("unrounded", func(l *Line) string { return l.Unrounded.String() }),
		text("module", func(_ *Invoice, l *Line) string { return l.Module }),
		text("rule", func(_ *Invoice, l *Line) string { return l.Rule }),
		text("adjusts_invoice", func(_ *Invoice, l *Line) string {
			if l.Adjustment == nil {
				return ""
			}
			return l.Adjustment.Invoice
		}),
		text("adjusts_period", func(_ *Invoice, l *Line) string {
			if l.Adjustment == nil {
				return ""
			}
			return l.Adjustment.Period.ID()
		}),
		adjusted("old_quantity", func(a *Adjustment) string { return a.OldQuantity.String() }),
		adjusted("new_quantity", func(a *Adjustment) string { return a.NewQuantity.String() }),
		adjusted("old_amount", func(a *Adjustment) string { return a.OldAmount.String() }),
		adjusted("new_amount", func(a *Adjustment) string { return a.NewAmount.String() }),
	}
}

func text(name string, of func(*Invoice, *Line) string) Column {
	return Column{Name: name, Kind: KindText, of: func(inv *Invoice, l *Line) (Cell, error) { return Cell{Text: of(inv, l)}, nil }}
}

func instant(name string, of func(*Invoice, *Line) time.Time) Column {
	return Column{Name: name, Kind: KindTime, Optional: true, of: func(inv *Invoice, l *Line) (Cell, error) {
		t := of(inv, l)
		if t.IsZero() {
			return Cell{}, nil
		}
		return Cell{Text: t.Format(time.RFC3339Nano), Time: t}, nil
	}}
}

// number makes a column of a text that is checked to be a number, so that it needs
// no defence against formulas.
func number(name string, of func(*Line) string) Column {
	return Column{Name: name, Kind: KindNumber, of: func(_ *Invoice, l *Line) (Cell, error) {
		written := of(l)
		n, err := billing.ParseDecimal(written)
		return Cell{Text: written, Number: n}, err
	}}
}

// adjusted makes a column of a number that adjustments have.
func adjusted(name string, of func(*Adjustment) string) Column {
	c := number(name, func(l *Line) string { return of(l.Adjustment) })
	always := c.of
	c.Optional = true
	c.of = func(inv *Invoice, l *Line) (Cell, error) {
		if l.Adjustment == nil {
			return Cell{}, nil
		}
		return always(inv, l)
	}
	return c
}

func groupCell(_ *Invoice, l *Line) (Cell, error) {
	if len(l.Group) == 0 {
		return Cell{}, nil
	}
	b, err := l.Group.MarshalJSON()
	return Cell{Text: string(b)}, err
}

// Row appends the cells of a line, one for each of the columns, and returns the
// extended slice.
func (inv *Invoice) Row(cells []Cell, columns []Column, l *Line) ([]Cell, error) {
	for i := range columns {
		c, err := columns[i].of(inv, l)
		if err != nil {
			return nil, fmt.Errorf("export: invoice %s, line %s, %s: %w", inv.ID, l.ID, columns[i].Name, err)
		}
		cells = append(cells, c)
	}
	return cells, nil
}
