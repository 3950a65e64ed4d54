package export

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tollway/tollway/sdk/billing"
)

// Report is what `tollway rate` found.
type Report struct {
	Invoices    []Invoice
	DeadLetters []DeadLetter
	// Parked are accounts whose plugins failed; none is what all is well looks like.
	Parked []Parked
	Counts Counts
}

// DeadLetter is an event that could not be priced.
type DeadLetter struct {
	Source string `json:"source"`
	ID     string `json:"id"`
	Reason string `json:"reason"` // stable, snake_case
	Detail string `json:"detail"` // for people
}

// Parked is an account whose invoices of a period could not be made.
type Parked struct {
	Account billing.AccountID `json:"account"`
	Period  string            `json:"period"` // id
	Reason  string            `json:"reason"` // stable, snake_case
	Detail  string            `json:"detail"` // for people
}

// Counts are events: Read = Priced + Duplicates + DeadLettered.
type Counts struct {
	Read         uint64 `json:"read"`
	Priced       uint64 `json:"priced"`
	Duplicates   uint64 `json:"duplicates"`
	DeadLettered uint64 `json:"dead_lettered"`
}

// reportInvoiceJSON is an invoice as the report has it.
type reportInvoiceJSON struct {
	ID       string            `json:"id"`
	Account  billing.AccountID `json:"account"`
	Period   periodJSON        `json:"period"`
	Currency billing.Currency  `json:"currency"`
	Lines    []reportLineJSON  `json:"lines"`
	Total    string            `json:"total"`

	Corrections []correctionJSON `json:"corrections,omitempty"`
}

type reportLineJSON struct {
	Rule        string           `json:"rule,omitempty"` // of an invoice rule's line, instead of the next two
	Tariff      string           `json:"tariff,omitempty"`
	Meter       string           `json:"meter,omitempty"`
	Group       Group            `json:"group"`
	Description string           `json:"description"`
	Quantity    billing.Quantity `json:"quantity"`
	Amount      string           `json:"amount"`
	Adjustment  *adjustmentJSON  `json:"adjustment,omitempty"`
}

// WriteJSON writes the report as one JSON object with a newline behind it. The
// same events give the same bytes: invoices are sorted by period, account,
// currency and id, dead letters by source, id, reason and detail, and a dead
// letter that came more than once (an event sent twice) is written once.
func (r Report) WriteJSON(w io.Writer) error {
	out := bufio.NewWriter(w)
	invoices := slices.Clone(r.Invoices)
	slices.SortStableFunc(invoices, func(a, b Invoice) int {
		return cmp.Or(
			strings.Compare(a.Period.ID(), b.Period.ID()), strings.Compare(string(a.Account), string(b.Account)),
			strings.Compare(string(a.Currency), string(b.Currency)), strings.Compare(a.ID, b.ID),
		)
	})
	letters := slices.Clone(r.DeadLetters)
	slices.SortFunc(letters, func(a, b DeadLetter) int {
		return cmp.Or(
			strings.Compare(a.Source, b.Source), strings.Compare(a.ID, b.ID),
			strings.Compare(a.Reason, b.Reason), strings.Compare(a.Detail, b.Detail),
		)
	})
	letters = slices.Compact(letters)

	list := &jsonWriter{out: out}
	list.text(`{"invoices":[`)
	for i := range invoices {
		list.item(i, invoices[i].report())
	}
	list.text(`],"dead_letters":[`)
	for i := range letters {
		list.item(i, letters[i])
	}
	if len(r.Parked) > 0 {
		list.text(`],"parked":[`)
		for i := range r.Parked {
			list.item(i, r.Parked[i])
		}
	}
	list.text(`],"counts":`)
	list.item(0, r.Counts)
	list.text("}\n")
	if list.err == nil {
		list.err = out.Flush()
	}
	if list.err != nil {
		return fmt.Errorf("export: report: %w", list.err)
	}
	return nil
}

// jsonWriter writes JSON piece by piece, so that a large report is never held
// as text. After the first error it does nothing more.
type jsonWriter struct {
	out *bufio.Writer
	err error
}

func (w *jsonWriter) text(s string) {
	if w.err == nil {
		_, w.err = w.out.WriteString(s)
	}
}

// item writes the i-th item of a list.
func (w *jsonWriter) item(i int, v any) {
	b, err := encode(v)
	if w.err == nil {
		w.err = err
	}
	if i > 0 {
		w.text(",")
	}
	w.text(string(b))
}

// report leaves out what the report does not show.
func (inv *Invoice) report() reportInvoiceJSON {
	out := reportInvoiceJSON{
		ID: inv.ID, Account: inv.Account, Period: periodOf(inv.Period), Currency: inv.Currency,
		Lines: make([]reportLineJSON, len(inv.Lines)), Total: inv.TotalText, Corrections: inv.corrections(),
	}
	for i := range inv.Lines {
		l := &inv.Lines[i]
		out.Lines[i] = reportLineJSON{
			Rule: l.Rule, Tariff: l.Tariff, Meter: l.Meter, Group: l.Group, Description: l.Description, Quantity: l.Quantity, Amount: l.AmountText,
			Adjustment: l.adjustment(),
		}
	}
	return out
}
