package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/tollway/tollway/host/catalog"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// applyCommand puts a catalog in force.
type applyCommand struct {
	clientFlags
	outputFlags
	File   string `short:"f" required:"" placeholder:"PATH" help:"Catalog file, or a folder of them."`
	Prune  bool   `help:"Remove objects that the files do not name."`
	DryRun bool   `help:"Only check, and show what would change."`
	Shadow bool   `help:"Change nothing, but price live usage by what would change, beside what is in force; see plugin shadow report."`
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
	request := &tollwayv1.CatalogServiceApplyRequest{Prune: c.Prune, DryRun: c.DryRun, Shadow: c.Shadow}
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
	if len(answer.GetChanges()) == 0 {
		_, err := fmt.Fprintf(s.out, "nothing to change: revision %d is in force\n", answer.GetRevision())
		return err
	}
	table := columns("object", "change", "prices differently from")
	for _, change := range answer.GetChanges() {
		from := "-"
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
	case c.DryRun:
		_, err = fmt.Fprintln(s.out, "dry run: nothing was changed")
	case c.Shadow:
		_, err = fmt.Fprint(s.out, shadowsText(answer.GetShadows()))
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
	parsed, _ := catalog.Parse(files)
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
