package plugins_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// guestWasm is testdata/guest, built for this run, with its manifest.
var guestWasm []byte

// thriftyWasm is the same with less fuel for an event.
var thriftyWasm []byte

// cacheDir is shared by the tests of this run: compiling the guest takes most of their time.
var cacheDir string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "plugins-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	cacheDir = filepath.Join(dir, "cache")
	wasm, err := buildGuest(dir)
	if err != nil {
		return 0, err
	}
	if guestWasm, err = plugins.AppendManifest(wasm, guestManifest(10_000_000)); err != nil {
		return 0, err
	}
	if thriftyWasm, err = plugins.AppendManifest(wasm, guestManifest(200_000)); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func buildGuest(dir string) ([]byte, error) {
	out := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w -buildid=", "-o", out, "./testdata/guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the guest: %w\n%s", err, text)
	}
	return os.ReadFile(out)
}

func guestManifest(fuelPerEvent int64) plugins.Manifest {
	m := plugins.Manifest{Name: "guest", Version: "1.0.0", ABI: "1.0", FuelPerEvent: fuelPerEvent, SDK: "none"}
	for _, name := range []string{"sum", "dims", "variable", "refuses", "babbles", "greedy", "lies", "loops", "faults", "badfinish", "together"} {
		m.Tariffs = append(m.Tariffs, plugins.ManifestTariff{Name: name, Title: name, ParamsSchema: []byte(`{"type":"object"}`)})
	}
	return m
}

func newRuntime(t testing.TB, c plugins.Config) *plugins.Runtime {
	t.Helper()
	if c.CacheDir == "" {
		c.CacheDir = cacheDir
	}
	r, err := plugins.NewRuntime(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func load(t testing.TB, r *plugins.Runtime, wasm []byte) *plugins.Module {
	t.Helper()
	m, err := r.Load(context.Background(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// guest is an instance of the guest with one plan of a tariff.
type guest struct {
	t    testing.TB
	i    *plugins.Instance
	plan *plugins.Plan
}

func newGuest(t testing.TB, m *plugins.Module, tariff string) *guest {
	t.Helper()
	i, err := m.NewInstance(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	plans, err := i.Configure(context.Background(), []plugins.ConfigRequest{{Tariff: tariff, Currency: "EUR"}})
	if err != nil {
		t.Fatal(err)
	}
	return &guest{t: t, i: i, plan: plans[0]}
}

// slots makes n new slots.
func (g *guest) slots(n int) []plugins.Slot {
	s := make([]plugins.Slot, n)
	for k := range s {
		s[k] = plugins.Slot{Plan: g.plan, New: true}
	}
	return s
}

// price prices a batch that must succeed, and keeps what becomes of its slots.
func (g *guest) price(b *plugins.Batch) []plugins.Reject {
	g.t.Helper()
	rejects, err := g.i.Price(context.Background(), b)
	if err != nil {
		g.t.Fatal(err)
	}
	keep(b)
	return rejects
}

func keep(b *plugins.Batch) {
	for k := range b.Slots {
		b.Slots[k].Keep()
	}
}

// What an event's time makes the guest do: the constants of testdata/guest/main.go.
const (
	doLoop = -1 - iota
	doTree
	doRecurse
	doMemory
	doCrash
	doExit
	doReject
	doSleep
	doBackwards
	doBeyond
	doClock
	doRemember
	doGrow
	doBadUTF8
	doPrint
	doWork
	doTable
	doMapOrder
	doBadReason
	doSkipBegin
	doRejectLate
	doLieRC
	doFault
	doLieReply
	doLieRejects
	doLieOrder
	doScribble
)

// event is an event of one unit that makes the guest do something.
func event(slot int, do int64) plugins.Event {
	return plugins.Event{Slot: int32(slot), Time: do, Quantity: billing.DecimalFromInt(1)}
}

// events is a row of ordinary events over some slots, the same every time.
func events(n, slots int) []plugins.Event {
	out := make([]plugins.Event, n)
	for k := range out {
		out[k] = plugins.Event{Slot: int32(k * 7 % slots), Time: int64(k), Quantity: billing.DecimalFromInt(int64(k%10 + 1))}
	}
	return out
}

// priced is the number of events that a slot's state counts.
func priced(s plugins.Slot) int {
	if len(s.State) == 0 {
		return 0
	}
	return int(binary.LittleEndian.Uint64(s.State))
}
