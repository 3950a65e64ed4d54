package trial

import (
	"context"
	"errors"
	"fmt"

	"github.com/tollway/tollway/host/intake"
	"github.com/tollway/tollway/host/internal/cloud"
	"github.com/tollway/tollway/host/serve"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/rpc"
	"github.com/tollway/tollway/sdk/billing"
)

// IngestConfig says what Ingest measures.
type IngestConfig struct {
	Common
	Accounts int
	Events   int // in a round
}

// Validate reports every problem at once.
func (c *IngestConfig) Validate() error {
	problems := c.problems()
	if c.Accounts < 1 || c.Accounts > cloud.AccountsMax || c.Events < eventsMin {
		problems = append(problems, fmt.Errorf("%d accounts, %d events: there must be 1 to %d accounts, and at least %d events",
			c.Accounts, c.Events, cloud.AccountsMax, eventsMin))
	}
	return errors.Join(problems...)
}

// IngestReport is what Ingest has measured.
type IngestReport struct {
	Machine    Machine   `json:"machine"`
	Partitions int       `json:"partitions"`
	Events     int       `json:"events"`
	Rounds     []Figures `json:"rounds"`
}

// Ingest measures how fast usage gets into a log that syncs: from a client, by the
// calls of a Sender, through the server of the RPC interface into the streams.
func Ingest(ctx context.Context, config IngestConfig) (IngestReport, error) {
	if err := config.Validate(); err != nil {
		return IngestReport{}, err
	}
	report := IngestReport{Machine: thisMachine(config.Now()), Partitions: config.Partitions, Events: config.Events}
	err := withBed(config.Common, func(b *bed) error {
		for n := range config.Rounds {
			f := &field{bed: b, usage: Usage{Accounts: config.Accounts, Events: config.Events}}
			j := f.job(jobIngest)
			j.Log, j.ProfileFile = Log{StoreDir: j.DataDir, Partitions: config.Partitions}, j.DataDir+".profile"
			figures, err := f.run(ctx, j)
			if err != nil {
				return err
			}
			b.progress("ingest: round %d of %d: %d events/s", n+1, config.Rounds, figures.perSecond())
			report.Rounds = append(report.Rounds, figures)
		}
		return nil
	})
	return report, err
}

// taking is an engine that takes usage in, and nothing else.
type taking struct {
	rpc.Engine
	in *intake.Intake
}

// Partitions implements rpc.Engine.
func (t taking) Partitions() int { return t.in.Partitions() }

// Submit implements rpc.Engine.
func (t taking) Submit(ctx context.Context, chunk rpc.UsageChunk) (rpc.UsageTicket, error) {
	return serve.Submit(ctx, t.in.Add, chunk)
}

// ingest is client, server and log in one process.
func (w *worker) ingest(ctx context.Context) error {
	return w.withLog(ctx, func(conn *stream.Conn) (err error) {
		if err := conn.EnsureStreams(ctx, w.job.Log.Partitions); err != nil {
			return err
		}
		in := intake.New(conn, w.job.Log.Partitions, conn.MessageBytesMax())
		defer in.Close()
		server, err := rpc.Listen(ctx, rpc.Config{Listen: "127.0.0.1:0"}, taking{in: in})
		if err != nil {
			return err
		}
		serving, stop := context.WithCancel(ctx)
		served := make(chan error, 1)
		go func() { served <- server.Serve(serving) }()
		defer func() {
			stop()
			err = errors.Join(err, <-served)
		}()
		clients, err := rpc.NewClients(server.URL(), "", nil)
		if err != nil {
			return err
		}
		defer clients.Close()
		return w.sendAll(ctx, clients)
	})
}

// sendAll sends all events, and fails unless each of them was taken.
func (w *worker) sendAll(ctx context.Context, clients *rpc.Clients) error {
	world, err := w.job.Usage.world()
	if err != nil {
		return err
	}
	accepted := 0
	sender, err := clients.NewSender(ctx, func(s rpc.Sent) { accepted += s.Accepted })
	if err != nil {
		return err
	}
	defer sender.Close()
	source, batch := world.NewEvents(), make([]billing.UsageEvent, 1_000)
	m, err := w.beginProfile()
	if err != nil {
		return err
	}
	for i := 0; i < w.job.Usage.Events; i += len(batch) {
		batch = batch[:min(len(batch), w.job.Usage.Events-i)]
		source.Make(batch, i)
		for n := range batch {
			if err := sender.Add(ctx, &batch[n], 0); err != nil {
				return err
			}
		}
	}
	if err := sender.Flush(ctx); err != nil {
		return err
	}
	if accepted != w.job.Usage.Events {
		return fmt.Errorf("%d events were sent and %d accepted", w.job.Usage.Events, accepted)
	}
	f, err := m.end(uint64(accepted))
	if err != nil {
		return err
	}
	return w.say(answer{Kind: answerDone, Figures: f})
}

// Tables shows the report.
func (r *IngestReport) Tables() []Table {
	row := Row{Name: "usage through RPC into a log that syncs", Events: r.Events, Rounds: r.Rounds}
	rate := row.Rate()
	all, _ := row.Allocations()
	t := Table{
		Title:   "Usage through RPC into a log that syncs",
		Columns: []string{"events", "events/s min", "median", "max", "CPU ns an event", "allocations"},
		Note: fmt.Sprintf("Machine: %s. Client, server and NATS in one process, which makes the events too; %d partitions, rounds: %d. Every event was accepted.",
			r.Machine, r.Partitions, len(r.Rounds)),
	}
	t.add(thousands(int64(r.Events)), thousands(rate.Min), thousands(rate.Median), thousands(rate.Max), thousands(row.CPU()), all.String())
	stages := stageTable("Processor time per event by stage, ns (profile labels; medians)")
	stages.stages(row.Name, row.Rounds, func(f Figures, name string) int64 { return f.perEvent(int64(f.Stages[name])) })
	g := because(atLeast("events a second through RPC into a log that syncs", rate.Median, goalIngest, 0, thousands), becauseStages)
	g.aim = "–"
	return []Table{goalTable([]goal{g}, ""), t, stages}
}
