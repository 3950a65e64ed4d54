package paper

import (
	"fmt"
	"html/template"
	"io"
	"strconv"

	"github.com/tollway/tollway/host/export"
)

// FileOf names the page of an invoice. Its id has no character that a file's name
// may not have, and is at most 230 bytes long.
func FileOf(inv *export.Invoice) string { return inv.ID + ".html" }

// Index is a list of invoices that is written as they come. It belongs to one
// goroutine.
type Index struct {
	pages *Pages
	out   io.Writer
}

// NewIndex begins a list.
func (p *Pages) NewIndex(w io.Writer, period string) (*Index, error) {
	x := &Index{pages: p, out: w}
	return x, x.write("index_head.html", struct {
		Style     template.CSS
		StyleHash string
		Period    string
	}{p.style, p.hash, period})
}

// Add adds an invoice.
func (x *Index) Add(inv *export.Invoice) error {
	return x.write("index_row.html", struct {
		File, ID, Account, Lines, Currency string
		Total                              number
	}{FileOf(inv), inv.ID, string(inv.Account), strconv.Itoa(len(inv.Lines)), string(inv.Currency), newNumber(inv.TotalText)})
}

type indexSum struct {
	Lines, Currency string
	Total           number
}

// Close ends the list with what the invoices come to.
func (x *Index) Close(totals []export.Total) error {
	var sums []indexSum
	for _, t := range totals {
		sums = append(sums, indexSum{strconv.FormatUint(t.Lines, 10), string(t.Currency), newNumber(t.Amount)})
	}
	return x.write("index_tail.html", struct{ Sums []indexSum }{sums})
}

func (x *Index) write(name string, data any) error {
	if err := x.pages.templates.ExecuteTemplate(x.out, name, data); err != nil {
		return fmt.Errorf("paper: index: %w", err)
	}
	return nil
}
