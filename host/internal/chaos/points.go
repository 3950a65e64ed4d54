package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/plugins/builtin"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// points has the program die at each of its failpoints, during a tour through all that
// it does, and then compares all that is billed and delivered.
func points(ctx context.Context, r *run, o *Outcome) error {
	list := failpoint.Points()
	if len(r.Points) > 0 {
		list = slices.DeleteFunc(list, func(p failpoint.Point) bool {
			return !slices.ContainsFunc(r.Points, func(name string) bool { return strings.HasPrefix(p.Name, name) })
		})
	}
	choose := chance(r.Seed, forFaults)
	died := map[string]int{}
	for round := range r.PointRounds {
		for _, p := range list {
			at := 1
			if round > 0 {
				at = 1 + choose.IntN(12)
			}
			one := tour{run: r, point: p.Name, at: at, name: fmt.Sprintf("%s-%d", p.Name, at)}
			met, err := one.make(ctx, o)
			if err != nil {
				o.Problems = append(o.Problems, fmt.Sprintf("%s, met %d times: %v", p.Name, at, err))
			}
			if met {
				died[p.Name]++
				o.Runs++
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if len(o.Problems) == 0 {
				if err := os.RemoveAll(filepath.Join(r.dir, one.name)); err != nil {
					return err
				}
			}
		}
		r.logf("failpoints: round %d of %d", round+1, r.PointRounds)
	}
	for _, p := range list {
		if died[p.Name] == 0 {
			o.Problems = append(o.Problems, p.Name+" was never met")
		}
	}
	o.note("%d of %d failpoints, each died at", len(died), len(list))
	return nil
}

// tour is a run through all that the program does, during which it dies at one place.
type tour struct {
	*run
	name, point string
	at          int // the time that it is met

	site *site
	mu   sync.Mutex // held while the program is ended on purpose
	took []time.Duration

	invoices, adjusted int // that were made, and lines in them
}

// rare are the places that a tour meets with much usage of one partition only.
func rare(point string) bool {
	return slices.Contains([]string{"identities.sealing", "rebuild.before-reset", "rebuild.after-reset", "rebuild.done"}, point)
}

// make makes the tour and reports whether the program died where it should.
func (t *tour) make(ctx context.Context, o *Outcome) (met bool, err error) {
	p, world := t.plan(t.name), World{Seed: drawn(t.Seed, uint64(t.at), forTour), Events: 1500, Accounts: 12}
	p.batchMax, p.files, p.subject = 150, filepath.Join(p.dir, "archive"), "billing.invoices"
	if rare(t.point) {
		p.partitions, p.batchMax, world.Events = 1, 3000, 90_000
	}
	if p.receiver, err = startReceiver(t.Seed); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, p.receiver.Close()) }()
	if t.site, err = p.open(ctx); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, t.site.close()) }()
	if err := t.site.nats.MakeStream(ctx, "BILLING", "billing.invoices.>"); err != nil {
		return false, err
	}
	t.site.program.env = append(t.site.program.env, failpoint.EnvMet+"="+filepath.Join(p.dir, "met"))
	alive, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { t.keepAlive(alive) })
	defer watch.Wait()
	defer stop()
	if err := t.begin(); err != nil {
		return false, err
	}
	v, err := t.travel(ctx, world)
	o.take(v)
	o.Events += world.Events
	o.Recovery = append(o.Recovery, t.took...)
	text, readErr := os.ReadFile(t.site.program.log)
	return bytes.Contains(text, []byte("the program dies at "+t.point)), errors.Join(err, readErr)
}

// begin starts the program, which is to die where it should.
func (t *tour) begin() error {
	return t.site.program.Begin(fmt.Sprintf("%s=%s=%d", failpoint.Env, t.point, t.at))
}

// keepAlive starts the program again when it has died.
func (t *tour) keepAlive(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, 10*time.Millisecond)
		t.mu.Lock()
		if t.site.program.life != nil && !t.site.program.Running() && ctx.Err() == nil {
			if took, err := t.site.program.Start(ctx); err == nil {
				t.took = append(t.took, took)
			}
		}
		t.mu.Unlock()
	}
}

// travel goes through everything.
func (t *tour) travel(ctx context.Context, world World) (v verdict, err error) {
	s := t.site
	catalog, err := world.CatalogFile()
	if err != nil {
		return v, err
	}
	if err := s.apply(ctx, catalog); err != nil {
		return v, err
	}
	if err := t.push(ctx); err != nil {
		return v, err
	}
	f := newFeeder(world, s.program.Clients)
	f.closes, f.batchMax = s.closeMonth, s.batchMax
	if err := f.run(ctx); err != nil {
		return v, err
	}
	for _, stop := range []func(context.Context) error{t.letters, t.void, t.snapshots, t.damage} {
		if err := stop(ctx); err != nil {
			return v, err
		}
	}
	if err := s.closeMonths(ctx, world); err != nil {
		return v, err
	}
	documents, err := s.documents(ctx)
	if err != nil {
		return v, err
	}
	want, _, err := world.Want(true)
	if err != nil {
		return v, err
	}
	t.invoices = len(documents)
	for _, d := range documents {
		t.adjusted += countAdjustments(d)
	}
	v = compare(ofWorld(documents), want)
	return v, t.delivered(ctx, &v, documents)
}

// Accounts of a tour beside those of its world.
const (
	strayAccount  = "stray-1"  // whose events cannot be priced
	voidedAccount = "voided-1" // one of whose two events is voided
)

// ofWorld returns the invoices of a world's accounts.
func ofWorld(documents map[string][]byte) map[string][]byte {
	own := map[string][]byte{}
	for id, d := range documents {
		if strings.HasPrefix(id, "account-") {
			own[id] = d
		}
	}
	return own
}

// push hands a plugin in.
func (t *tour) push(ctx context.Context) error {
	modules, err := builtin.Modules()
	if err != nil {
		return err
	}
	return t.site.insistFor(ctx, compileMax, 2*compileMax, "push a plugin", func(ctx context.Context, c *rpc.Clients) error {
		_, err := c.Plugins.Push(ctx, &tollwayv1.PluginServicePushRequest{Data: modules[0].Wasm})
		return err
	})
}

// stray is an event of the last month of a tour.
func stray(id, account, kind string, data map[string]string) *tollwayv1.UsageEvent {
	at := timestamppb.New(worldStart.AddDate(0, Months, -2))
	return &tollwayv1.UsageEvent{Id: id, Source: Source, Type: kind, Subject: account, Time: at, Data: data}
}

// send sends events until they are taken.
func (t *tour) send(ctx context.Context, events ...*tollwayv1.UsageEvent) error {
	return t.site.insist(ctx, "send usage", func(ctx context.Context, c *rpc.Clients) error {
		_, err := c.Usage.Ingest(ctx, &tollwayv1.UsageServiceIngestRequest{Events: events})
		return err
	})
}

// strays are how many checkpoints of a tour have events that cannot be priced: so many
// that what they leave in the state is merged.
const strays = 24

// straysEach is how many there are in each. Those of a tour to the place where a merge
// writes its parts are so many that it has several.
func (t *tour) straysEach() int {
	if t.point == "store.before-segments" {
		return 300
	}
	return 1
}

// lettersShown is how many dead letters are asked for at once.
const lettersShown = 1000

// letters sends events that cannot be priced, one checkpoint after the other, has them
// tried again, and discards them.
func (t *tour) letters(ctx context.Context) error {
	for n := range strays {
		var events []*tollwayv1.UsageEvent
		for k := range t.straysEach() {
			events = append(events, stray(fmt.Sprintf("stray-%d-%d", n, k), strayAccount, "usage", map[string]string{"units": "many"}))
		}
		if err := t.send(ctx, events...); err != nil {
			return err
		}
		if err := t.site.settle(ctx); err != nil { // what is committed is no part of the next checkpoint
			return err
		}
	}
	all := &tollwayv1.DeadLetterSelection{Matching: true, Account: strayAccount}
	err := t.site.insist(ctx, "replay dead letters", func(ctx context.Context, c *rpc.Clients) error {
		_, err := c.DeadLetters.Replay(ctx, &tollwayv1.DeadLetterServiceReplayRequest{Selection: all})
		return err
	})
	if err != nil {
		return err
	}
	err = t.site.insist(ctx, "discard dead letters", func(ctx context.Context, c *rpc.Clients) error {
		_, err := c.DeadLetters.Discard(ctx, &tollwayv1.DeadLetterServiceDiscardRequest{Selection: all, Why: "a test"})
		return err
	})
	if err != nil {
		return err
	}
	return t.site.insist(ctx, "list dead letters", func(ctx context.Context, c *rpc.Clients) error {
		answer, err := c.DeadLetters.List(ctx, &tollwayv1.DeadLetterServiceListRequest{Account: strayAccount, Status: "discarded", PageSize: lettersShown})
		want := min(lettersShown, strays*t.straysEach())
		if err == nil && len(answer.GetDeadLetters()) != want {
			err = fmt.Errorf("%d of %d dead letters are discarded", len(answer.GetDeadLetters()), want)
		}
		return err
	})
}

// void takes one of two events back.
func (t *tour) void(ctx context.Context) error {
	data := map[string]string{"units": "7", "megabytes": "1.5"}
	void := stray("void-1", voidedAccount, "tollway.usage.void", map[string]string{"source": Source, "id": "voided-2"})
	for _, e := range []*tollwayv1.UsageEvent{stray("voided-1", voidedAccount, "usage", data), stray("voided-2", voidedAccount, "usage", data), void} {
		if err := t.send(ctx, e); err != nil {
			return err
		}
	}
	if err := t.site.settle(ctx); err != nil {
		return err
	}
	return t.site.insist(ctx, "see what is left", func(ctx context.Context, c *rpc.Clients) error {
		answer, err := c.Subtotals.List(ctx, &tollwayv1.SubtotalServiceListRequest{Account: voidedAccount, PageSize: 100})
		if err != nil {
			return err
		}
		for _, row := range answer.GetSubtotals() {
			if row.GetTariff() == countTariff && row.GetEvents() != 1 {
				return fmt.Errorf("%d events are left of two, one of which is voided", row.GetEvents())
			}
		}
		return nil
	})
}

// snapshots takes a backup of every partition.
func (t *tour) snapshots(ctx context.Context) error {
	for n := range t.site.partitions {
		err := t.site.insist(ctx, "take a backup", func(ctx context.Context, c *rpc.Clients) error {
			stream, err := c.Admin.Snapshot(ctx, &tollwayv1.AdminServiceSnapshotRequest{Partition: uint32(n)})
			if err != nil {
				return err
			}
			defer func() { _ = stream.Close() }() // what is left of one that broke off tells nothing more
			for {
				m, err := stream.Receive()
				if err == io.EOF { //nolint:errorlint // the stream's own end is not wrapped
					err = io.ErrUnexpectedEOF
				}
				if err != nil || m.GetDone() {
					return err
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// damage ends the program and spoils what it has stored, so that it has to be made
// again from the log.
func (t *tour) damage(context.Context) error {
	if !strings.HasPrefix(t.point, "rebuild.") {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.site.program.Kill()
	logs, err := filepath.Glob(filepath.Join(t.site.data, "state", "values", "*"))
	if err != nil {
		return err
	}
	for _, name := range logs {
		if err := spoil(name); err != nil {
			return err
		}
	}
	return t.begin()
}

// spoil flips a bit in every 64th byte of a file that is not zero.
func spoil(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	for n := 64; n < len(b); n += 64 {
		if b[n] != 0 {
			b[n] ^= 1
		}
	}
	return os.WriteFile(name, b, 0o600)
}

// delivered waits until every receiver has every invoice, and compares.
func (t *tour) delivered(ctx context.Context, v *verdict, documents map[string][]byte) error {
	s := t.site
	err := s.insist(ctx, "have the deliveries tried again", func(ctx context.Context, c *rpc.Clients) error {
		for _, sink := range []string{"ledger", "archive", "bus"} {
			if _, err := c.Deliveries.Retry(ctx, &tollwayv1.DeliveryServiceRetryRequest{Sink: sink}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		lacking, err := t.lacking(waiting, v, documents)
		if err != nil || lacking == "" {
			return err
		}
		if waiting.Err() != nil {
			return fmt.Errorf("after a minute %s", lacking)
		}
		pause(waiting, 50*time.Millisecond)
	}
}

// lacking says what a receiver has not got yet.
func (t *tour) lacking(ctx context.Context, v *verdict, documents map[string][]byte) (string, error) {
	missing, problems := t.site.receiver.deliveredAll(documents)
	if len(problems) > 0 {
		v.problems = append(v.problems, problems...)
		return "", nil
	}
	if missing > 0 {
		return fmt.Sprintf("the webhook lacks %d invoices", missing), nil
	}
	bus, err := t.site.nats.Messages(ctx, "BILLING")
	if err != nil {
		return "", err
	}
	periods := map[string]bool{}
	for id, document := range documents {
		period := strings.Split(id, ".")[1]
		periods[period] = true
		file, err := os.ReadFile(filepath.Join(t.site.files, period, id+".json"))
		if err != nil {
			return "the archive lacks " + id, nil //nolint:nilerr // it may still come
		}
		if !bytes.Equal(bytes.TrimSuffix(file, []byte("\n")), document) {
			v.say("the archive has another %s", id)
		}
		if body := bus["billing.invoices."+id]; !bytes.Equal(body, document) {
			return "the bus lacks " + id, nil
		}
	}
	for period := range periods {
		if _, err := os.Stat(filepath.Join(t.site.files, period, "manifest.json")); err != nil {
			return "the archive lacks the manifest of " + period, nil //nolint:nilerr // it may still come
		}
	}
	return "", nil
}
