package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Config says what a run does.
type Config struct {
	Seed     uint64
	Dir      string   // where the directories of a run are made; empty: the system's
	Binary   string   // `tollway`, built with the tag failpoints; empty: it is built
	Only     []string // campaigns, by the beginnings of their names; empty: all
	Log      io.Writer
	Kills    int
	Events   int64 // beside the kills
	Accounts int
	// Sizes of the other campaigns.
	Points      []string      // failpoints, by the beginnings of their names; empty: all
	PointRounds int           // tours with each failpoint
	NATSKills   int           // of the NATS server
	Cuts        int           // breaks of the network
	Away        time.Duration // of the receiver of invoices
	Flips       int           // bits
	Full        int           // times that the disk is full
	Clocks      int           // jumps of the wall clock
	Streams     int           // accidents of the log's streams
}

// Default is what `make chaos` does: the sizes that the project asks of itself.
func Default() Config {
	return Config{
		Kills: 200, Events: 1_000_000, Accounts: 120, PointRounds: 2, NATSKills: 100, Cuts: 100, Away: 10 * time.Minute, Flips: 500, Full: 20, Clocks: 20, Streams: 20,
	}
}

// campaignOf is one kind of fault.
type campaignOf struct {
	name string
	run  func(ctx context.Context, r *run, o *Outcome) error
	// sizes are the flags that make the same run again.
	sizes func(c *Config) string
}

// campaigns in the order in which they are run.
func campaigns() []campaignOf {
	return []campaignOf{
		{"kills", kills, func(c *Config) string { return fmt.Sprintf("-kills %d -events %d", c.Kills, c.Events) }},
		{"failpoints", points, func(c *Config) string {
			return fmt.Sprintf("-point-rounds %d -points %q", c.PointRounds, strings.Join(c.Points, ","))
		}},
		{"nats kills", natsKills, func(c *Config) string { return fmt.Sprintf("-nats-kills %d -events %d", c.NATSKills, c.Events) }},
		{"network", network, func(c *Config) string { return fmt.Sprintf("-cuts %d -events %d", c.Cuts, c.Events) }},
		{"bit flips", flips, func(c *Config) string { return fmt.Sprintf("-flips %d -events %d", c.Flips, c.Events) }},
		{"full disk", fullDisk, func(c *Config) string { return fmt.Sprintf("-full %d -events %d", c.Full, c.Events) }},
		{"clock jumps", clocks, func(c *Config) string { return fmt.Sprintf("-clocks %d -events %d", c.Clocks, c.Events) }},
		{"months again", again, func(c *Config) string { return fmt.Sprintf("-events %d", c.Events) }},
		{"streams", accidents, func(c *Config) string { return fmt.Sprintf("-streams %d -events %d", c.Streams, c.Events) }},
		{"downstream", downstream, func(c *Config) string { return fmt.Sprintf("-away %s -events %d", c.Away, c.Events) }},
	}
}

// Names are those of all campaigns.
func Names() []string {
	var names []string
	for _, c := range campaigns() {
		names = append(names, c.name)
	}
	return names
}

// run is one campaign at work.
type run struct {
	Config
	dir   string // its own
	cache string // compiled plugins, shared by all
}

// logf tells how far a run is.
func (r *run) logf(format string, args ...any) {
	if r.Log != nil {
		fmt.Fprintf(r.Log, format+"\n", args...)
	}
}

// world is the usage of a campaign of a size.
func (r *run) world(events int64) World {
	return World{Seed: r.Seed, Events: events, Accounts: r.Accounts}
}

// plan is a site in the campaign's directory.
func (r *run) plan(name string) plan {
	return plan{dir: filepath.Join(r.dir, name), binary: r.Binary, cache: r.cache, seed: r.Seed, partitions: 4}
}

// Run makes the campaigns that are asked for, one after the other. What is found is in
// the outcomes; the error is of what kept a campaign from being made at all.
func Run(ctx context.Context, c Config) ([]Outcome, error) {
	wanted := campaigns()
	if len(c.Only) > 0 {
		wanted = slices.DeleteFunc(wanted, func(one campaignOf) bool {
			return !slices.ContainsFunc(c.Only, func(name string) bool { return strings.HasPrefix(one.name, name) })
		})
	}
	if len(wanted) == 0 {
		return nil, fmt.Errorf("chaos: no campaign is called %q; there are %q", c.Only, Names())
	}
	top, err := os.MkdirTemp(c.Dir, "tollway-chaos-")
	if err != nil {
		return nil, err
	}
	if c.Binary == "" {
		if c.Binary, err = Build(ctx, top); err != nil {
			return nil, errors.Join(err, os.RemoveAll(top))
		}
	}
	var list []Outcome
	kept := false
	for _, one := range wanted {
		r := &run{Config: c, dir: filepath.Join(top, strings.ReplaceAll(one.name, " ", "-")), cache: filepath.Join(top, "plugins")}
		o, err := r.make(ctx, one)
		if err != nil {
			return list, err
		}
		kept = kept || o.Failed()
		list = append(list, o)
	}
	if !kept {
		return list, os.RemoveAll(top)
	}
	return list, nil
}

// make makes one campaign.
func (r *run) make(ctx context.Context, one campaignOf) (Outcome, error) {
	o := Outcome{Fault: one.name, Repeat: fmt.Sprintf("make chaos ARGS='-only %q -seed %d -accounts %d %s'", one.name, r.Seed, r.Accounts, one.sizes(&r.Config))}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return o, err
	}
	if err := r.warm(ctx); err != nil {
		return o, err
	}
	r.logf("%s: %s", one.name, o.Repeat)
	begun := time.Now()
	o.fail(one.run(ctx, r, &o))
	o.Took = time.Since(begun)
	if ctx.Err() != nil {
		return o, ctx.Err()
	}
	if o.Failed() {
		o.Kept = r.dir
		return o, nil
	}
	return o, os.RemoveAll(r.dir)
}

// warm compiles the built-in plugins once, for all sites of the run.
func (r *run) warm(ctx context.Context) error {
	if _, err := os.Stat(r.cache); err == nil {
		return nil
	}
	p := r.plan("warm")
	p.cache, p.embedded = "", true
	s, err := p.open(ctx)
	if err == nil {
		_, err = s.program.Start(ctx)
	}
	var catalog []byte
	if err == nil {
		catalog, err = r.world(1).CatalogFile()
	}
	if err == nil {
		err = s.apply(ctx, catalog)
	}
	s.program.Stop()
	return errors.Join(err, s.close(), os.CopyFS(r.cache, os.DirFS(filepath.Join(s.data, "plugins"))))
}
