package host_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	telcoexample "github.com/tollway/tollway/examples/tariffs/telco"
	"github.com/tollway/tollway/host/internal/telco"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

var crashSeed = flag.Uint64("crashseed", 0, "seed of the crash test; 0 draws one, which is printed")

// TestCrash kills the real program at random moments while usage comes in,
// starts it again on the same data each time, and in the end compares every
// invoice with a sum that is known without any pricing code.
//
// The writer never gives up: it sends each batch until it is taken, so that
// batches that were written but not answered arrive twice, and it sends some
// events again on purpose. Months close by themselves while all this goes on.
func TestCrash(t *testing.T) {
	kills, world := 8, telco.DefaultConfig() // `make chaos` kills hundreds of times
	world.Months, world.Customers, world.EventsPerMonth = 3, 30, 400
	if testing.Short() {
		kills, world.EventsPerMonth = 5, 150
	}
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to repeat this run: go test ./host -run TestCrash -crashseed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	p := startProgram(t, buildProgram(t), t.TempDir())
	p.apply(crashCatalog(t))

	ctx, stop := context.WithTimeout(t.Context(), 15*time.Minute)
	defer stop()
	w := &crashWriter{program: p, world: world, chance: rand.New(rand.NewPCG(seed, 1))}
	written := make(chan error, 1)
	go func() { written <- w.run(ctx) }()
	for n := range kills {
		// Somewhere in its share of the load, and some at a start.
		share := world.Total() / int64(kills)
		w.waitFor(ctx, share*int64(n)+chance.Int64N(share))
		time.Sleep(time.Duration(chance.Int64N(int64(20 * time.Millisecond))))
		before := p.counts() // what was shown must be there after any crash
		p.kill()
		for range chance.IntN(2) {
			p.startAndKill(time.Duration(chance.Int64N(int64(800 * time.Millisecond))))
		}
		p.start()
		if after := p.counts(); after.GetRead() < before.GetRead() || after.GetPriced() < before.GetPriced() {
			t.Errorf("kill %d: the counters went back from %v to %v", n+1, before, after)
		}
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	p.closeAll(world, w.token)
	p.compare(world)
	if t.Failed() {
		return
	}
	c := p.counts()
	t.Logf("%d kills; %d events read = %d priced + %d duplicates", kills, c.GetRead(), c.GetPriced(), c.GetDuplicates())
	if c.GetRead() != c.GetPriced()+c.GetDuplicates()+c.GetDeadLettered() || c.GetDeadLettered() != 0 || c.GetPriced() != uint64(world.Total()) {
		t.Errorf("%v: of %d events each must be priced once, and every other one be a duplicate", c, world.Total())
	}
	if c.GetDuplicates() < w.doubled.Load() {
		t.Errorf("%d duplicates were counted, at least %d were sent", c.GetDuplicates(), w.doubled.Load())
	}
}

// crashCatalog is the telco catalog with a grace time that also covers a batch
// which is sent again: part of it may have moved the clock of one partition on
// before another has its part.
func crashCatalog(t *testing.T) []byte {
	t.Helper()
	text := strings.Replace(string(telcoexample.Catalog), "grace: 72h", "grace: 120h", 1)
	if text == string(telcoexample.Catalog) {
		t.Fatal("the telco catalog has no grace: 72h any more")
	}
	return []byte(text)
}

// crashWriter sends the usage of a world in the order in which it arrives.
type crashWriter struct {
	program *program
	world   telco.Config
	chance  *rand.Rand
	sent    atomic.Int64  // events taken, without those sent again
	doubled atomic.Uint64 // events sent again on purpose
	token   string        // position of the last call
}

// run sends everything, in batches of any size.
func (w *crashWriter) run(ctx context.Context) error {
	var batch []*tollwayv1.UsageEvent
	var past []*tollwayv1.UsageEvent // to be sent again
	size := 1
	for a := range w.world.Arrivals() {
		e := wireEvent(a.Event)
		batch = append(batch, e)
		if w.chance.IntN(20) == 0 {
			past = append(past, e)
		}
		if len(batch) < size {
			continue
		}
		if err := w.send(ctx, batch, past); err != nil {
			return err
		}
		batch, size = batch[:0], 1+w.chance.IntN(400)
	}
	return w.send(ctx, batch, past)
}

// send sends a batch, with about one in a hundred from the past, until it is
// taken.
func (w *crashWriter) send(ctx context.Context, batch, past []*tollwayv1.UsageEvent) error {
	request := &tollwayv1.UsageServiceIngestRequest{Events: batch}
	for range len(batch) {
		if len(past) > 0 && w.chance.IntN(100) == 0 {
			request.Events = append(request.Events, past[w.chance.IntN(len(past))])
		}
	}
	for {
		answer, err := w.program.clients.Load().Usage.Ingest(ctx, request)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("after %d events: %w (last error of a call: %w)", w.sent.Load(), ctx.Err(), err)
		case err != nil:
			time.Sleep(5 * time.Millisecond)
			continue
		case answer.GetRejected() > 0:
			return fmt.Errorf("events were refused: %v", answer)
		}
		w.token = answer.GetPositionToken()
		w.sent.Add(int64(len(batch)))
		w.doubled.Add(uint64(len(request.GetEvents()) - len(batch)))
		return nil
	}
}

// waitFor returns when so many events have been taken.
func (w *crashWriter) waitFor(ctx context.Context, events int64) {
	for w.sent.Load() < events && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
}

// wireEvent is an event as the Ingest call takes it.
func wireEvent(e billing.UsageEvent) *tollwayv1.UsageEvent {
	data := map[string]string{}
	for _, f := range e.Data {
		data[f.Key] = f.Text
	}
	return &tollwayv1.UsageEvent{Id: e.ID, Source: e.Source, Type: e.Type, Subject: string(e.Account), Time: timestamppb.New(e.Time), Data: data}
}

// buildProgram builds the command.
func buildProgram(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tollway")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", name, "./cmd/tollway").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return name
}

// program is `tollway serve` in a process of its own.
type program struct {
	t       *testing.T
	name    string
	data    string
	cmd     *exec.Cmd
	clients atomic.Pointer[rpc.Clients]
}

// startProgram starts the program on a data directory; it is killed when the
// test ends.
func startProgram(t *testing.T, name, data string) *program {
	t.Helper()
	p := &program{t: t, name: name, data: data}
	p.start()
	t.Cleanup(p.kill)
	return p
}

// begin starts the process and returns what it prints.
func (p *program) begin() *bufio.Reader {
	p.t.Helper()
	p.cmd = exec.Command(p.name, "serve", "--data", p.data, "--listen", "127.0.0.1:0")
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	return bufio.NewReader(out)
}

// start starts the process and waits until it serves.
func (p *program) start() {
	p.t.Helper()
	line, err := p.begin().ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "serving at ")
	if !ok {
		p.t.Fatalf("tollway serve printed %q, %v", line, err)
	}
	clients, err := rpc.NewClients(url, "", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.clients.Store(clients)
}

// startAndKill kills the process a moment after its start, most often while it
// is still at opening its state.
func (p *program) startAndKill(moment time.Duration) {
	p.t.Helper()
	p.begin()
	time.Sleep(moment)
	p.kill()
}

// kill ends the process as kill -9 does.
func (p *program) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.cmd.Wait()         // that it was killed is no news
}

// apply puts a catalog in force.
func (p *program) apply(catalog []byte) {
	p.t.Helper()
	_, err := p.clients.Load().Catalog.Apply(p.t.Context(), &tollwayv1.CatalogServiceApplyRequest{
		Files: []*tollwayv1.CatalogFile{{Name: "catalog.yaml", Data: catalog}},
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// counts returns the balance of everything read.
func (p *program) counts() *tollwayv1.EventCounts {
	p.t.Helper()
	answer, err := p.clients.Load().DeadLetters.List(p.t.Context(), &tollwayv1.DeadLetterServiceListRequest{PageSize: 1})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, l := range answer.GetDeadLetters() {
		p.t.Errorf("dead letter: %v", l)
	}
	return answer.GetCounts()
}

// closeAll closes a world's months once everything up to a position is read.
func (p *program) closeAll(world telco.Config, token string) {
	p.t.Helper()
	clients := p.clients.Load()
	_, err := clients.Subtotals.List(p.t.Context(), &tollwayv1.SubtotalServiceListRequest{
		PageSize: 1, MinPosition: &tollwayv1.MinPosition{Token: token, MaxWait: durationpb.New(time.Minute)},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	for m := range world.Months {
		_, err := clients.Periods.Close(p.t.Context(), &tollwayv1.PeriodServiceCloseRequest{Period: world.Period(m).ID(), SkipGrace: true})
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// compare checks every invoice against the sum that is known, and that there
// are no others.
func (p *program) compare(world telco.Config) {
	p.t.Helper()
	for m := range world.Months {
		period := world.Period(m).ID()
		answer, err := p.clients.Load().Invoices.List(p.t.Context(), &tollwayv1.InvoiceServiceListRequest{Period: period, PageSize: 1000})
		if err != nil {
			p.t.Fatal(err)
		}
		totals := map[string]string{}
		for _, i := range answer.GetInvoices() {
			totals[i.GetAccount()] += i.GetTotal().GetAmount()
		}
		if len(answer.GetInvoices()) != world.Customers {
			p.t.Errorf("period %s has %d invoices, want %d", period, len(answer.GetInvoices()), world.Customers)
		}
		for i := range world.Customers {
			account := string(world.Account(i))
			if want := world.Sum(i).Fixed(2); totals[account] != want {
				p.t.Errorf("period %s: %s pays %s, want %s", period, account, totals[account], want)
			}
		}
	}
}
