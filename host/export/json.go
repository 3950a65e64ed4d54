package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// Group has the dimensions that a line is grouped by, in alphabetical order,
// with the line's values. In JSON it is an object.
type Group []billing.Field

// MarshalJSON writes {"region":"eu"}, keys in order.
func (g Group) MarshalJSON() ([]byte, error) {
	byKey := func(a, b billing.Field) int { return strings.Compare(a.Key, b.Key) }
	sorted := []billing.Field(g)
	if !slices.IsSortedFunc(sorted, byKey) {
		sorted = slices.SortedFunc(slices.Values(g), byKey)
	}
	const usual = 64
	b := append(make([]byte, 0, usual), '{')
	for i, f := range sorted {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendJSON(b, f.Key); err != nil {
			return nil, err
		}
		if b, err = appendJSON(append(b, ':'), f.Text); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendJSON appends a text as JSON. Most texts need no escape, and an export
// writes millions of them.
func appendJSON(b []byte, text string) ([]byte, error) {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			escaped, err := encode(text)
			return append(b, escaped...), err
		}
	}
	return append(append(append(b, '"'), text...), '"'), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (g *Group) UnmarshalJSON(b []byte) error {
	var fields map[string]string
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	*g = nil
	for key, text := range fields {
		*g = append(*g, billing.Field{Key: key, Text: text})
	}
	slices.SortFunc(*g, func(a, b billing.Field) int { return strings.Compare(a.Key, b.Key) })
	return nil
}

// invoiceJSON is the document. Members keep the order of their declaration;
// numbers are decimal text.
type invoiceJSON struct {
	ID             string            `json:"id"`
	Account        billing.AccountID `json:"account"`
	Period         periodJSON        `json:"period"`
	Currency       billing.Currency  `json:"currency"`
	Lines          []lineJSON        `json:"lines"`
	Total          string            `json:"total"`
	AccountDetails json.RawMessage   `json:"account_details"`
	Seller         json.RawMessage   `json:"seller"`
	Corrections    []correctionJSON  `json:"corrections,omitempty"`
}

type periodJSON struct {
	ID    string    `json:"id"`
	Start time.Time `json:"start"` // with the offset of the account's zone
	End   time.Time `json:"end"`
}

// lineJSON is a line: of a rule if it has the member, and then it has none of the
// four that only a tariff's have.
type lineJSON struct {
	Rule         string           `json:"rule,omitempty"`
	Tariff       string           `json:"tariff,omitempty"`
	Meter        string           `json:"meter,omitempty"`
	Subscription string           `json:"subscription,omitempty"`
	Version      time.Time        `json:"version,omitzero"`
	ID           string           `json:"id"`
	Group        Group            `json:"group"`
	Description  string           `json:"description"`
	Quantity     billing.Quantity `json:"quantity"`
	Amount       string           `json:"amount"`
	Unrounded    billing.Amount   `json:"unrounded"`
	Module       string           `json:"module"`
	Adjustment   *adjustmentJSON  `json:"adjustment,omitempty"`
}

func periodOf(p billing.Period) periodJSON { return periodJSON{ID: p.ID(), Start: p.Start, End: p.End} }

// encode writes a value as JSON on one line, without escapes for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Encode writes the invoice as one line of JSON: the same invoice, the same
// bytes.
func (inv *Invoice) Encode() ([]byte, error) {
	out := invoiceJSON{
		ID: inv.ID, Account: inv.Account, Period: periodOf(inv.Period), Currency: inv.Currency,
		Lines: make([]lineJSON, len(inv.Lines)), Total: inv.TotalText,
		AccountDetails: inv.AccountDetails, Seller: inv.Seller, Corrections: inv.corrections(),
	}
	for i := range inv.Lines {
		l := &inv.Lines[i]
		out.Lines[i] = lineJSON{
			Rule: l.Rule, Tariff: l.Tariff, Meter: l.Meter, Subscription: l.Subscription, Version: l.Version, ID: l.ID, Group: l.Group,
			Description: l.Description, Quantity: l.Quantity, Amount: l.AmountText, Unrounded: l.Unrounded, Module: l.Module,
			Adjustment: l.adjustment(),
		}
	}
	b, err := encode(out)
	if err != nil {
		return nil, fmt.Errorf("export: invoice %s: %w", inv.ID, err)
	}
	return b, nil
}

// errDocument is why bytes are no invoice.
var errDocument = errors.New("export: not an invoice that this program wrote")

// DecodeInvoice reads what Encode wrote; encoding it again gives the same
// bytes. The period is in a zone with the account's offset at its start.
func DecodeInvoice(b []byte) (Invoice, error) {
	c := canonical{text: string(b)}
	if inv, ok := c.invoice(); ok {
		return inv, nil
	}
	return decodeAny(b)
}

// headBytes is enough for what a document begins with, nearly always.
const headBytes = 512

// DecodeHead reads the ID, the account, the period and the currency of a document as
// [Invoice.Encode] writes it, and as a rule nothing behind them.
//
// # Errors
//
// Those of [DecodeInvoice], of what it reads.
func DecodeHead(b []byte) (Invoice, error) {
	c := canonical{text: string(b[:min(len(b), headBytes)])}
	if inv, ok := c.head(); ok {
		return inv, nil
	}
	return DecodeInvoice(b)
}

// decodeAny reads a document in any form that JSON allows.
func decodeAny(b []byte) (Invoice, error) {
	var in invoiceJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return Invoice{}, fmt.Errorf("%w: %w", errDocument, err)
	}
	inv := Invoice{
		ID: in.ID, Account: in.Account, Currency: in.Currency, TotalText: in.Total,
		Period:         billing.Period{Start: in.Period.Start, End: in.Period.End},
		AccountDetails: object(in.AccountDetails), Seller: object(in.Seller),
	}
	var err error
	if inv.Total, err = billing.ParseAmount(in.Total); err != nil || inv.ID == "" || inv.Period.ID() != in.Period.ID {
		return Invoice{}, fmt.Errorf("%w: id %q, period %q, total %q", errDocument, in.ID, in.Period.ID, in.Total)
	}
	for _, l := range in.Lines {
		amount, err := billing.ParseAmount(l.Amount)
		var adjustment *Adjustment
		if err == nil {
			adjustment, err = l.Adjustment.decode()
		}
		if err != nil {
			return Invoice{}, fmt.Errorf("%w: %s, line %s: %w", errDocument, in.ID, l.ID, err)
		}
		inv.Lines = append(inv.Lines, Line{
			Rule: l.Rule, Tariff: l.Tariff, Meter: l.Meter, Subscription: l.Subscription, Version: l.Version.UTC(), ID: l.ID, Group: l.Group,
			Description: l.Description, Quantity: l.Quantity, Amount: amount, AmountText: l.Amount, Unrounded: l.Unrounded, Module: l.Module,
			Adjustment: adjustment,
		})
	}
	for _, c := range in.Corrections {
		inv.Corrections = append(inv.Corrections, Correction{Period: billing.Period{Start: c.Period.Start, End: c.Period.End}, Events: c.Events, More: c.More})
	}
	return inv, nil
}

// object returns a JSON object, nil for null.
func object(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// WriteJSONL writes invoices as JSON Lines, one document a line. It may be
// called again for more of them.
func WriteJSONL(w io.Writer, invoices []Invoice) error {
	for i := range invoices {
		b, err := invoices[i].Encode()
		if err != nil {
			return err
		}
		if _, err := w.Write(append(b, '\n')); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	return nil
}
