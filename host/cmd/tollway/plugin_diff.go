package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// pluginDiffCommand rates usage twice and compares.
type pluginDiffCommand struct {
	outputFlags
	Old      string   `arg:"" help:"A .wasm file, a folder to build, or a built-in tariff; #NAME chooses a tariff in it."`
	New      string   `arg:"" help:"The one to compare with, likewise."`
	Catalog  string   `required:"" placeholder:"PATH" help:"Catalog file, or a folder of them."`
	Tariff   string   `required:"" placeholder:"NAME" help:"The catalog's tariff whose versions are priced with the one and the other."`
	Usage    []string `required:"" placeholder:"FILE" help:"Files of events: JSON Lines, a JSON array or CSV. May be given several times."`
	Limit    int      `default:"100" help:"Most lines of a table; 0 for all."`
	ExitCode bool     `help:"Exit with 1 when anything differs."`
}

// lineChange is a line of an invoice that is not the same.
type lineChange struct {
	Account      billing.AccountID `json:"account"`
	Period       string            `json:"period"`
	Tariff       string            `json:"tariff"` // or the invoice rule that made the line
	Subscription string            `json:"subscription"`
	Group        export.Group      `json:"group"`
	Line         string            `json:"line"`
	Description  string            `json:"description"`
	Currency     billing.Currency  `json:"currency"`
	OldQuantity  billing.Quantity  `json:"old_quantity"`
	NewQuantity  billing.Quantity  `json:"new_quantity"`
	Old          billing.Amount    `json:"old"`
	New          billing.Amount    `json:"new"`
	Change       billing.Amount    `json:"change"`
	version      string
}

// currencyChange is what a currency comes to.
type currencyChange struct {
	Currency billing.Currency `json:"currency"`
	Old      billing.Amount   `json:"old"`
	New      billing.Amount   `json:"new"`
	Change   billing.Amount   `json:"change"`
	Accounts int              `json:"accounts_changed"`
	Lines    int              `json:"lines_changed"`
}

// comparedReports is all that differs between two reports.
type comparedReports struct {
	Lines      []lineChange        `json:"lines"`
	Currencies []currencyChange    `json:"currencies"`
	OnlyOld    []export.DeadLetter `json:"dead_letters_only_old"`
	OnlyNew    []export.DeadLetter `json:"dead_letters_only_new"`
}

func (c *comparedReports) differs() bool { return len(c.Lines)+len(c.OnlyOld)+len(c.OnlyNew) > 0 }

// Run rates the usage with both plugins and prints whose lines would change.
func (c *pluginDiffCommand) Run(ctx context.Context, s streams) error {
	files, modules, err := readCatalog(c.Catalog)
	if err != nil {
		return err
	}
	var reports [2]export.Report
	for k, name := range []string{c.Old, c.New} {
		if reports[k], err = c.rate(ctx, s, files, modules, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	compared, err := compareReports(reports[0], reports[1])
	if err != nil {
		return err
	}
	switch c.Output {
	case "json":
		err = printIndented(s.out, compared)
	case "csv":
		err = compared.lines(0).print(s.out, c.Output)
	default:
		err = c.show(s.out, compared)
	}
	if err == nil && c.ExitCode && compared.differs() {
		err = errFound
	}
	return err
}

// rate rates the usage with the tariff priced by one plugin.
func (c *pluginDiffCommand) rate(ctx context.Context, s streams, files []catalog.File, modules map[string][]byte, name string) (export.Report, error) {
	p, err := loadPlugin(ctx, name)
	if err != nil {
		return export.Report{}, err
	}
	const place = "/compared.wasm" // absolute, so that it does not begin at the folder of the catalog file
	replaced, err := replacePlugin(files, c.Tariff, func(reference string) (string, error) {
		tariff, err := chooseTariff(p, reference)
		return place + "#" + tariff, err
	})
	if err != nil {
		return export.Report{}, err
	}
	with := maps.Clone(modules)
	with[place] = p.wasm
	bar := newProgress(s.err, "rating with "+name, "events")
	seen := 0
	defer bar.finish()
	return host.RateFiles(ctx, host.RateRequest{
		Catalog: replaced, Plugins: with, Usage: c.Usage,
		Progress: func(events int) {
			bar.add(events - seen)
			seen = events
		},
	})
}

// chooseTariff finds which tariff of a plugin takes the place of a reference: the one that was named, the one that the
// reference names, or the only one.
func chooseTariff(p *plugin, reference string) (string, error) {
	manifest, err := plugins.ReadManifest(p.wasm)
	if err != nil {
		return "", err
	}
	names := make([]string, len(manifest.Tariffs))
	for k, t := range manifest.Tariffs {
		names[k] = t.Name
	}
	_, behind, named := strings.Cut(reference, "#")
	switch {
	case p.tariff != "" && slices.Contains(names, p.tariff):
		return p.tariff, nil
	case p.tariff != "":
		return "", fmt.Errorf("there is no tariff %s in it; it has %s", p.tariff, strings.Join(names, ", "))
	case named && slices.Contains(names, behind):
		return behind, nil
	case slices.Contains(names, reference):
		return reference, nil
	case len(names) == 1:
		return names[0], nil
	}
	return "", usageError{fmt.Errorf("it has several tariffs, %s: choose one by %s#NAME", strings.Join(names, ", "), p.name)}
}

// lineKey is what makes a line of two reports the same.
type lineKey struct {
	account, period, currency, tariff, subscription, version, group, line string
}

// compareReports finds the lines that differ, the biggest change first.
func compareReports(before, after export.Report) (*comparedReports, error) {
	found := map[lineKey]*lineChange{}
	totals := map[billing.Currency]*currencyChange{}
	for k, report := range []export.Report{before, after} {
		for i := range report.Invoices {
			inv := &report.Invoices[i]
			t := totals[inv.Currency]
			if t == nil {
				t = &currencyChange{Currency: inv.Currency}
				totals[inv.Currency] = t
			}
			sum := []*billing.Amount{&t.Old, &t.New}[k]
			var err error
			if *sum, err = sum.Add(inv.Total); err != nil {
				return nil, err
			}
			for l := range inv.Lines {
				noteLine(found, inv, &inv.Lines[l], k)
			}
		}
	}
	c := &comparedReports{Lines: []lineChange{}, Currencies: []currencyChange{}}
	accounts := map[lineKey]bool{}
	for _, l := range found {
		var err error
		if l.Change, err = l.New.Sub(l.Old); err != nil {
			return nil, err
		}
		if l.Change.IsZero() && l.OldQuantity == l.NewQuantity {
			continue
		}
		c.Lines = append(c.Lines, *l)
		t := totals[l.Currency]
		t.Lines++
		if one := (lineKey{account: string(l.Account), currency: string(l.Currency)}); !accounts[one] {
			accounts[one] = true
			t.Accounts++
		}
	}
	slices.SortFunc(c.Lines, biggestFirst)
	for _, currency := range slices.Sorted(maps.Keys(totals)) {
		t := totals[currency]
		var err error
		if t.Change, err = t.New.Sub(t.Old); err != nil {
			return nil, err
		}
		c.Currencies = append(c.Currencies, *t)
	}
	c.OnlyOld, c.OnlyNew = without(before.DeadLetters, after.DeadLetters), without(after.DeadLetters, before.DeadLetters)
	return c, nil
}

// noteLine puts a line of an invoice beside the one of the other report.
func noteLine(found map[lineKey]*lineChange, inv *export.Invoice, l *export.Line, which int) {
	key := lineKey{
		string(inv.Account), inv.Period.ID(), string(inv.Currency), l.Tariff + "/" + l.Rule, l.Subscription, l.Version.String(), fmt.Sprint(l.Group), l.ID,
	}
	change := found[key]
	if change == nil {
		change = &lineChange{
			Account: inv.Account, Period: inv.Period.ID(), Tariff: cmp.Or(l.Tariff, l.Rule), Subscription: l.Subscription, Group: l.Group,
			Line: l.ID, Description: l.Description, Currency: inv.Currency, version: key.version,
		}
		found[key] = change
	}
	if which == 0 {
		change.Old, change.OldQuantity = l.Amount, l.Quantity
	} else {
		change.New, change.NewQuantity = l.Amount, l.Quantity
	}
}

// biggestFirst orders lines by how much they change, up or down.
func biggestFirst(a, b lineChange) int {
	return cmp.Or(
		magnitude(b.Change).Cmp(magnitude(a.Change)),
		strings.Compare(string(a.Account), string(b.Account)), strings.Compare(a.Period, b.Period),
		strings.Compare(a.Tariff, b.Tariff), strings.Compare(a.Subscription, b.Subscription),
		strings.Compare(a.version, b.version), strings.Compare(fmt.Sprint(a.Group), fmt.Sprint(b.Group)), strings.Compare(a.Line, b.Line),
	)
}

// magnitude is an amount without its sign; the least there can be counts as the most.
func magnitude(a billing.Amount) billing.Amount {
	if a.Sign() >= 0 {
		return a
	}
	n, err := a.Neg()
	if err != nil {
		return billing.Amount{Hi: 1<<63 - 1, Lo: 1<<64 - 1}
	}
	return n
}

// without returns the dead letters that are not among others.
func without(list, others []export.DeadLetter) []export.DeadLetter {
	have := map[export.DeadLetter]bool{}
	for _, l := range others {
		have[l] = true
	}
	rest := []export.DeadLetter{}
	for _, l := range list {
		if !have[l] {
			rest = append(rest, l)
		}
	}
	slices.SortFunc(rest, func(a, b export.DeadLetter) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.ID, b.ID))
	})
	return rest
}

// lines is a table of the first lines that differ; 0 stands for all.
func (c *comparedReports) lines(limit int) *grid {
	g := columns("account", "period", "tariff", "group", "line", ">old", ">new", ">change", "currency")
	for k, l := range c.Lines {
		if limit > 0 && k == limit {
			break
		}
		group := map[string]string{}
		for _, f := range l.Group {
			group[f.Key] = f.Text
		}
		g.add(string(l.Account), l.Period, l.Tariff, groupText(group), l.Line, l.Old.String(), l.New.String(), signed(l.Change), string(l.Currency))
	}
	return g
}

func signed(a billing.Amount) string {
	if a.Sign() > 0 {
		return "+" + a.String()
	}
	return a.String()
}

// show prints tables for people.
func (c *pluginDiffCommand) show(w io.Writer, found *comparedReports) error {
	if !found.differs() {
		_, err := fmt.Fprintln(w, "no line differs")
		return err
	}
	if err := found.lines(c.Limit).print(w, c.Output); err != nil {
		return err
	}
	var b strings.Builder
	if more := len(found.Lines) - c.Limit; c.Limit > 0 && more > 0 {
		fmt.Fprintf(&b, "… and %s more (--limit 0 shows all)\n", count(more, "line"))
	}
	b.WriteString("\n")
	totals := columns("currency", ">old", ">new", ">change", ">accounts changed", ">lines changed")
	for _, t := range found.Currencies {
		totals.add(string(t.Currency), t.Old.String(), t.New.String(), signed(t.Change), fmt.Sprint(t.Accounts), fmt.Sprint(t.Lines))
	}
	if err := totals.print(&b, c.Output); err != nil {
		return err
	}
	for _, one := range []struct {
		title string
		list  []export.DeadLetter
	}{{"priced by the new one only", found.OnlyOld}, {"rejected by the new one only", found.OnlyNew}} {
		if len(one.list) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s, %s:\n", count(len(one.list), "event"), one.title)
		for k, l := range one.list {
			if c.Limit > 0 && k == c.Limit {
				fmt.Fprintf(&b, "  … and %d more\n", len(one.list)-k)
				break
			}
			fmt.Fprintf(&b, "  %s %s  %s: %s\n", l.Source, l.ID, l.Reason, l.Detail)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
