// Package paper makes invoices that people read: one page of HTML each, with its
// style inside, nothing else loaded, and made for A4.
//
//	export.Invoice ──Pages.Invoice──▶ invoices/ID.html, what each line is for and what it comes to
//	all of them    ──Index──▶ index.html, a list with links
//
// The package is pure; what it writes depends on the invoices alone.
package paper

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/sdk/billing"
)

//go:embed *.html style.css
var files embed.FS

// Pages makes pages. It may be used by any number of goroutines at once.
type Pages struct {
	templates *template.Template
	style     template.CSS
	hash      string // of the style, for the page's own security policy
}

// New reads the templates.
func New() (*Pages, error) {
	style, err := files.ReadFile("style.css")
	if err != nil {
		return nil, fmt.Errorf("paper: %w", err)
	}
	t, err := template.ParseFS(files, "*.html")
	if err != nil {
		return nil, fmt.Errorf("paper: %w", err)
	}
	// The policy allows this style and nothing else, so that no text of an invoice
	// can bring in another, or a script, whatever a browser makes of it.
	sum := sha256.Sum256(style)
	return &Pages{templates: t, style: template.CSS(style), hash: "sha256-" + base64.StdEncoding.EncodeToString(sum[:])}, nil
}

// number is a number for programs and for people.
type number struct{ Value, Text string }

// newNumber puts a narrow space between thousands, which every language reads.
func newNumber(text string) number {
	whole, decimals, fraction := strings.Cut(text, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "−", whole[1:]
	}
	var groups []string
	for len(whole) > 3 {
		groups = append([]string{whole[len(whole)-3:]}, groups...)
		whole = whole[:len(whole)-3]
	}
	grouped := sign + strings.Join(append([]string{whole}, groups...), "\u202f")
	if fraction {
		grouped += "." + decimals
	}
	return number{Value: text, Text: grouped}
}

type page struct {
	Style                      template.CSS
	StyleHash                  string
	ID, Currency, Period, Zone string
	Seller, Buyer              party
	Sections                   []section
	Sums                       []namedSum
	Total                      number
	Prices                     []string
}

// section has the lines of one price list, or those of the invoice rules.
type section struct {
	Title, Note string
	Lines       []line
}

type line struct {
	Description, Tags string
	Quantity          *number // nil where there is none to show
	Amount            number
}

type namedSum struct {
	Name   string
	Amount number
}

// Invoice writes the page of an invoice.
func (p *Pages) Invoice(w io.Writer, inv *export.Invoice) error {
	seller, err := newParty("Seller", inv.Seller, "")
	if err != nil {
		return fmt.Errorf("paper: invoice %s: %w", inv.ID, err)
	}
	buyer, err := newParty("Billed to", inv.AccountDetails, string(inv.Account))
	if err != nil {
		return fmt.Errorf("paper: invoice %s: %w", inv.ID, err)
	}
	d := page{
		Style: p.style, StyleHash: p.hash, ID: inv.ID, Currency: string(inv.Currency), Seller: seller, Buyer: buyer,
		Period: daysOf(inv.Period), Zone: zoneOf(inv.Period), Total: newNumber(inv.TotalText),
		Sections: sectionsOf(inv), Prices: pricesOf(inv),
	}
	if d.Sums, err = sumsOf(inv); err != nil {
		return fmt.Errorf("paper: invoice %s: %w", inv.ID, err)
	}
	if err := p.templates.ExecuteTemplate(w, "invoice.html", d); err != nil {
		return fmt.Errorf("paper: invoice %s: %w", inv.ID, err)
	}
	return nil
}

func day(t time.Time) string { return t.Format("2 January 2006") }

// daysOf names the first and the last day of a period.
func daysOf(p billing.Period) string {
	first, last := p.Start, p.End.Add(-1)
	if first.Year() == last.Year() && first.Month() == last.Month() {
		return fmt.Sprintf("%d – %s", first.Day(), day(last))
	}
	return day(first) + " – " + day(last)
}

// zoneOf names the offset from UTC at the period's start, and at its end where the
// clocks were changed between.
func zoneOf(p billing.Period) string {
	start, end := p.Start.Format("-07:00"), p.End.Format("-07:00")
	switch {
	case start == "+00:00" && end == start:
		return "Days in UTC"
	case start == end:
		return "Days in UTC" + start
	default:
		return "Days in UTC" + start + ", at the end UTC" + end
	}
}

// sectionsOf puts lines that follow each other and have the same origin under one
// title.
func sectionsOf(inv *export.Invoice) []section {
	var sections []section
	last := ""
	for i := range inv.Lines {
		l := &inv.Lines[i]
		title, note := titleOf(inv, l)
		if n := len(sections); n == 0 || sections[n-1].Title != title || sections[n-1].Note != note {
			sections = append(sections, section{Title: title, Note: note})
			last = ""
		}
		s := &sections[len(sections)-1]
		shown := line{Description: l.Description, Tags: tags(l.Group), Amount: newNumber(l.AmountText)}
		if shown.Description == "" {
			shown.Description = l.ID
		}
		if a := l.Adjustment; a != nil {
			shown.Tags = strings.TrimPrefix(shown.Tags+fmt.Sprintf(" · was %s, is %s", newNumber(a.OldAmount.String()).Text, newNumber(a.NewAmount.String()).Text), " · ")
		}
		// The tiers of a group follow each other: its name stands at the first.
		if shown.Tags == last {
			shown.Tags = ""
		} else {
			last = shown.Tags
		}
		if !l.Quantity.IsZero() {
			quantity := newNumber(l.Quantity.String())
			shown.Quantity = &quantity
		}
		s.Lines = append(s.Lines, shown)
	}
	return sections
}

// titleOf says where a line comes from.
func titleOf(inv *export.Invoice, l *export.Line) (title, note string) {
	if a := l.Adjustment; a != nil {
		return "Corrections of " + daysOf(a.Period), a.Invoice
	}
	if l.Rule != "" {
		return "Discounts, commitments and taxes", ""
	}
	note = l.Meter
	if l.Subscription != l.Tariff {
		note += ", subscription " + l.Subscription
	}
	// A price list that came into force within the period says since when.
	if since := l.Version.In(inv.Period.Start.Location()); since.After(inv.Period.Start) {
		note += ", prices since " + day(since)
	}
	return l.Tariff, note
}

func tags(g export.Group) string {
	var parts []string
	for _, f := range g {
		parts = append(parts, f.Key+" "+f.Text)
	}
	return strings.Join(parts, " · ")
}

// Kinds of lines that an invoice adds up by themselves.
const (
	ofTariffs = iota
	ofRules
	ofCorrections
	kinds
)

func kindOf(l *export.Line) int {
	switch {
	case l.Adjustment != nil:
		return ofCorrections
	case l.Rule != "":
		return ofRules
	default:
		return ofTariffs
	}
}

// sumsOf are what the lines of each kind come to, where there are several.
func sumsOf(inv *export.Invoice) ([]namedSum, error) {
	var sums [kinds]billing.Amount
	var has [kinds]bool
	digits := 0
	for i := range inv.Lines {
		l := &inv.Lines[i]
		kind := kindOf(l)
		_, decimals, _ := strings.Cut(l.AmountText, ".")
		digits = max(digits, len(decimals))
		var err error
		if sums[kind], err = sums[kind].Add(l.Amount); err != nil {
			return nil, err
		}
		has[kind] = true
	}
	var named []namedSum
	for kind, name := range [kinds]string{"Subtotal", "Discounts, commitments and taxes", "Corrections of earlier periods"} {
		if has[kind] {
			named = append(named, namedSum{name, newNumber(sums[kind].Fixed(digits))})
		}
	}
	if len(named) == 1 {
		return nil, nil
	}
	return named, nil
}

// pricesOf names, for each tariff and rule, the exact code that made its lines.
func pricesOf(inv *export.Invoice) []string {
	var prices []string
	for i := range inv.Lines {
		l := &inv.Lines[i]
		text := "rule " + l.Rule
		if l.Rule == "" {
			text = l.Tariff + ", in force since " + day(l.Version)
		}
		text += ", plugin " + l.Module
		if !slices.Contains(prices, text) {
			prices = append(prices, text)
		}
	}
	return prices
}
