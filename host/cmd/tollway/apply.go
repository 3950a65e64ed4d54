package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tollway/tollway/host/catalog"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// applyCommand puts a catalog in force.
type applyCommand struct {
	clientFlags
	outputFlags
	File     string `short:"f" required:"" placeholder:"PATH" help:"Catalog file, or a folder of them."`
	Prune    bool   `help:"Remove objects that the files do not name."`
	DryRun   bool   `help:"Only check, and show what would change."`
	Shadow   bool   `help:"Change nothing, but price live usage by what would change, beside what is in force; see plugin shadow report."`
	Reprice  bool   `help:"Have the catalog price usage too that is priced already; with --dry-run, show what that would change for each account."`
	Accounts uint32 `default:"20" placeholder:"N" help:"How many accounts --reprice --dry-run shows, those with the largest differences (${default})."`
}

// Run applies the catalog.
func (c *applyCommand) Run(ctx context.Context, s streams) error {
	files, modules, err := readCatalog(c.File)
	if err != nil {
		return err
	}
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	request := &tollwayv1.CatalogServiceApplyRequest{Prune: c.Prune, DryRun: c.DryRun, Shadow: c.Shadow, Reprice: c.Reprice, Accounts: c.Accounts}
	for _, f := range files {
		request.Files = append(request.Files, &tollwayv1.CatalogFile{Name: f.Name, Data: f.Data})
	}
	for path, wasm := range modules {
		signature, err := readSignature(path)
		if err != nil {
			return err
		}
		request.Plugins = append(request.Plugins, &tollwayv1.PluginFile{Path: path, Data: wasm, Signature: signature})
	}
	answer, err := clients.Catalog.Apply(ctx, request)
	if err != nil {
		return failed(clients, err)
	}
	if c.Output == "json" {
		return printJSON(s.out, answer)
	}
	if r := answer.GetRepricing(); r != nil && c.Output == "csv" {
		return differences(r.GetAccounts(), false).print(s.out, c.Output)
	}
	if len(answer.GetChanges()) == 0 && c.Output == "table" {
		_, err := fmt.Fprintf(s.out, "nothing to change: revision %d is in force\n", answer.GetRevision())
		return err
	}
	table := columns("object", "change", "prices differently from")
	for _, change := range answer.GetChanges() {
		from := none
		switch {
		case change.GetReachesBack() != nil:
			from = change.GetReachesBack().AsTime().Format("2006-01-02T15:04:05Z")
		case change.GetPrices():
			from = "the beginning"
		}
		table.add(strings.TrimSpace(change.GetKind()+" "+change.GetName()), change.GetWhat(), from)
	}
	if err := table.print(s.out, c.Output); err != nil || c.Output == "csv" {
		return err
	}
	switch {
	case answer.GetRepricing() != nil:
		err = showRepricing(s.out, answer.GetRepricing(), c.Output)
	case c.DryRun:
		_, err = fmt.Fprintln(s.out, "dry run: nothing was changed")
	case c.Shadow:
		_, err = fmt.Fprint(s.out, shadowsText(answer.GetShadows()))
	case c.Reprice:
		_, err = fmt.Fprintf(s.out, "revision %d is in force in every partition, and what it prices otherwise is repriced; closed periods are adjusted by the next invoices\n", answer.GetRevision())
	default:
		_, err = fmt.Fprintf(s.out, "revision %d is in force in every partition\n", answer.GetRevision())
	}
	for _, w := range answer.GetWarnings() {
		if _, err := fmt.Fprintf(s.err, "tollway: warning: %s\n", w); err != nil {
			return err
		}
	}
	return err
}

// showRepricing prints what a catalog that reaches back would change.
func showRepricing(out io.Writer, r *tollwayv1.Repricing, output string) error {
	if _, err := io.WriteString(out, "\n"+differenceText(r.GetRefused(), r.GetUnbilled(), r.GetTotals())+"\n"); err != nil {
		return err
	}
	if g := differences(r.GetAccounts(), false); len(g.rows) > 0 {
		if err := g.print(out, output); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%s\nas of %s; nothing was changed: without --dry-run usage is repriced so\n", moreText(len(r.GetAccounts()), r.GetDifferent()), positionsText(r.GetAsOf()))
	return err
}

// shadowsText says which shadows an apply has started.
func shadowsText(tariffs []string) string {
	if len(tariffs) == 0 {
		return "nothing was changed, and no tariff would price differently: no shadow was started\n"
	}
	text := "nothing was changed; what would change prices live usage in the shadow:\n"
	for _, t := range tariffs {
		text += "  tollway plugin shadow report " + t + "\n"
	}
	return text
}

// readCatalog reads a catalog's files and the Wasm modules that it names by
// path.
func readCatalog(path string) ([]catalog.File, map[string][]byte, error) {
	files, err := catalog.ReadPath(path)
	if err != nil {
		return nil, nil, err
	}
	// Problems are for the server, or the rating, to report, together with what
	// only they can find.
	parsed, problems := catalog.Parse(files)
	if len(problems) == 0 && parsed.IsEmpty() {
		return nil, nil, fmt.Errorf("catalog: %s says nothing: it has no meters, tariffs, accounts, alerts, default_subscriptions or billing", path)
	}
	modules := map[string][]byte{}
	for _, reference := range parsed.Plugins() {
		file, _, _ := strings.Cut(reference, "#")
		if !strings.HasSuffix(file, ".wasm") || modules[file] != nil {
			continue
		}
		wasm, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, fmt.Errorf("plugin: %w; build it with `tollway plugin build`", err)
		}
		modules[file] = wasm
	}
	return files, modules, nil
}
