package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tollway/tollway/host/export/folder"
	"github.com/tollway/tollway/rpc"
)

// invoicesVerifyCommand checks a folder of exported invoices.
type invoicesVerifyCommand struct {
	clientFlags
	Dir     string `arg:"" help:"Folder that invoices export has made."`
	Offline bool   `help:"Check the folder against itself only, without a server."`
	Limit   int    `default:"20" help:"Differences to the engine that are named at most."`
}

// Run prints what is wrong and fails if anything is.
func (c *invoicesVerifyCommand) Run(ctx context.Context, s streams) error {
	var problems []string
	report := func(problem string) { problems = append(problems, problem) }
	m, err := folder.Verify(c.Dir, report)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has no %s: no export was finished there; `tollway invoices export --out %s` with what was exported goes on with one that was cut",
			c.Dir, folder.ManifestName, c.Dir)
	}
	if err != nil {
		return err
	}
	against := "itself"
	if !c.Offline {
		against = "itself and the engine"
		if err := c.compare(ctx, m, report); err != nil {
			return err
		}
	}
	for _, p := range problems {
		if _, err := fmt.Fprintln(s.out, p); err != nil {
			return err
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("%s does not agree with %s", c.Dir, against)
	}
	_, err = fmt.Fprintf(s.out, "%s: period %s as %s: %s: it agrees with %s\n", c.Dir, m.Period, m.Format, sums(m), against)
	return err
}

// compare compares the folder with what the engine has.
func (c *invoicesVerifyCommand) compare(ctx context.Context, m *folder.Manifest, report func(string)) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	err = folder.Compare(c.Dir, m, engineOf(ctx, clients, m.Request), c.Limit, report)
	if err != nil {
		return fmt.Errorf("%w\n(--offline checks the folder against itself only)", err)
	}
	return nil
}

// engineOf streams the engine's invoices of a request.
func engineOf(ctx context.Context, clients *rpc.Clients, r folder.Request) folder.Engine {
	return func(fn func(document []byte) error) error {
		var open []folder.Open
		return documents(ctx, clients, r, &open, fn)
	}
}
