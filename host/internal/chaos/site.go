package chaos

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host/internal/chaos/natsd"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/abi"
)

// plan is what a site is made of.
type plan struct {
	dir        string
	binary     string
	cache      string // compiled plugins to begin with; empty: none
	seed       uint64
	partitions int
	embedded   bool      // the log is in the program's own process
	receiver   *Receiver // of invoices; nil: none
	files      string    // folder that invoices are delivered to; empty: none
	subject    string    // NATS subject that they are delivered to; empty: none
	data       string    // data directory; empty: one in dir
	batchMax   int       // events of a call; 0 is the feeder's default
}

// site is a program, its log and the network between them.
type site struct {
	plan
	nats    *natsd.Server // nil with an embedded one
	proxy   *Proxy
	program *Program
}

// open makes a site and starts its server. The program is not started.
func (p plan) open(ctx context.Context) (s *site, err error) {
	if p.data == "" {
		p.data = filepath.Join(p.dir, "data")
	}
	s = &site{plan: p}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := os.MkdirAll(p.data, 0o700); err != nil {
		return s, err
	}
	if p.cache != "" {
		if err := os.CopyFS(filepath.Join(p.data, "plugins"), os.DirFS(p.cache)); err != nil {
			return s, err
		}
	}
	if !p.embedded {
		if s.nats, err = natsd.New(filepath.Join(p.dir, "nats")); err != nil {
			return s, err
		}
		if err := s.nats.Start(ctx); err != nil {
			return s, err
		}
		if s.proxy, err = startProxy(s.nats.Address(), p.seed); err != nil {
			return s, err
		}
	}
	config, err := s.config()
	if err != nil {
		return s, err
	}
	name := filepath.Join(p.dir, "tollway.yaml")
	s.program = &Program{binary: p.binary, config: name, log: filepath.Join(p.dir, "tollway.log")}
	return s, os.WriteFile(name, config, 0o600)
}

// config is the program's configuration; JSON is YAML too.
func (s *site) config() ([]byte, error) {
	// The hostile tariffs ask for more than a server gives by itself, and are to be run.
	policy := map[string]any{"require_signature": false, "fuel_per_event_max": abi.FuelPerEventMax, "fuel_start_max": abi.FuelStartMax}
	c := map[string]any{"data": s.data, "partitions": s.partitions, "listen": "127.0.0.1:0", "dashboard": false, "plugins": policy}
	if s.proxy != nil {
		c["nats"] = map[string]any{"url": s.proxy.URL()}
	}
	var sinks []any
	if s.receiver != nil {
		secret := filepath.Join(s.dir, "webhook-secret")
		if err := os.WriteFile(secret, []byte("whsec_"+base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n"), 0o600); err != nil {
			return nil, err
		}
		sinks = append(sinks, map[string]any{"name": "ledger", "webhook": map[string]any{"url": s.receiver.URL(), "timeout": "2s", "secret_file": secret}})
	}
	if s.files != "" {
		sinks = append(sinks, map[string]any{"name": "archive", "files": map[string]any{"directory": s.files}})
	}
	if s.subject != "" {
		sinks = append(sinks, map[string]any{"name": "bus", "nats": map[string]any{"subject": s.subject}})
	}
	if len(sinks) > 0 {
		c["deliveries"] = sinks
	}
	return json.Marshal(c)
}

// close ends everything. What is on the disk stays.
func (s *site) close() error {
	var problems []error
	if s.program != nil {
		s.program.Kill()
	}
	if s.proxy != nil {
		problems = append(problems, s.proxy.Close())
	}
	if s.nats != nil {
		problems = append(problems, s.nats.Kill())
	}
	return errors.Join(problems...)
}

// apply puts a catalog in force, however often it has to be asked.
func (s *site) apply(ctx context.Context, catalog []byte) error {
	return s.insistFor(ctx, compileMax, 2*compileMax, "apply the catalog", func(ctx context.Context, c *rpc.Clients) error {
		_, err := c.Catalog.Apply(ctx, &tollwayv1.CatalogServiceApplyRequest{Files: []*tollwayv1.CatalogFile{{Name: "catalog.json", Data: catalog}}})
		return err
	})
}

// insistMax is how long insist tries: longer than anything is away, but where a
// campaign means it.
const insistMax = 3 * time.Minute

// insist makes a call until it succeeds. While nothing serves it waits.
func (s *site) insist(ctx context.Context, what string, call func(ctx context.Context, c *rpc.Clients) error) error {
	return s.insistFor(ctx, callMax, insistMax, what, call)
}

// compileMax bounds a call that has plugins compiled: on a busy machine each takes many
// seconds, and one that is given up begins anew.
const compileMax = 5 * time.Minute

// insistFor makes a call, of which each try may take so long, until it succeeds.
func (s *site) insistFor(ctx context.Context, each, most time.Duration, what string, call func(ctx context.Context, c *rpc.Clients) error) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	last := errNotServing
	for {
		if clients := s.program.Clients(); clients != nil {
			one, done := context.WithTimeout(ctx, each)
			err := call(one, clients)
			done()
			if err == nil {
				return nil
			}
			last = err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w; the last error was: %w", what, ctx.Err(), last)
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// conditionServing is that of a partition that answers.
const conditionServing = "serving"

// settle waits until everything in the log is read and committed.
func (s *site) settle(ctx context.Context) error {
	return s.insist(ctx, "read everything", func(ctx context.Context, c *rpc.Clients) error {
		status, err := c.Admin.Status(ctx, &tollwayv1.AdminServiceStatusRequest{})
		if err != nil {
			return err
		}
		for _, p := range status.GetPartitions() {
			if p.GetPosition() < p.GetLogEnd() || p.GetLogProblem() != "" || p.GetHealth().GetCondition() != conditionServing {
				return fmt.Errorf("partition %d is %s, at %d of %d %s", p.GetPartition(), p.GetHealth().GetCondition(), p.GetPosition(), p.GetLogEnd(), p.GetLogProblem())
			}
		}
		return nil
	})
}

// counts is the balance of everything read.
func (s *site) counts(ctx context.Context) (counts *tollwayv1.EventCounts, err error) {
	err = s.insist(ctx, "ask for the counters", func(ctx context.Context, c *rpc.Clients) error {
		answer, err := c.DeadLetters.List(ctx, &tollwayv1.DeadLetterServiceListRequest{PageSize: 1})
		counts = answer.GetCounts()
		return err
	})
	return counts, err
}

// closeMonths closes all months of a world. What is in the log already is in them.
func (s *site) closeMonths(ctx context.Context, world World) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	for _, period := range world.Periods() {
		if err := s.closeMonth(ctx, period); err != nil {
			return err
		}
	}
	return s.settle(ctx)
}

// closeMonth closes a month in all time zones.
func (s *site) closeMonth(ctx context.Context, period string) error {
	return s.insist(ctx, "close "+period, func(ctx context.Context, c *rpc.Clients) error {
		_, err := c.Periods.Close(ctx, &tollwayv1.PeriodServiceCloseRequest{Period: period, SkipGrace: true})
		return err
	})
}

// documents returns all invoices as they were issued, by id.
func (s *site) documents(ctx context.Context) (map[string][]byte, error) {
	documents := map[string][]byte{}
	err := s.insist(ctx, "export the invoices", func(ctx context.Context, c *rpc.Clients) error {
		clear(documents)
		stream, err := c.Invoices.Export(ctx, &tollwayv1.InvoiceServiceExportRequest{Partial: true, AsDocuments: true})
		if err != nil {
			return err
		}
		return collect(stream, documents)
	})
	return documents, err
}

// ids are the keys of a map, sorted.
func ids[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for id := range m {
		list = append(list, id)
	}
	slices.SortFunc(list, strings.Compare)
	return list
}
