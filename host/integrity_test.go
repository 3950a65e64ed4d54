package host_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// stored is a host with a state of all kinds of things: usage of several
// accounts, duplicates, dead letters, one of them replayed, a closed period with
// its invoices, and carries.
func stored(t testing.TB, partitions int) *running {
	t.Helper()
	r := startHost(t, partitions, "2026-11-20T00:00:00Z")
	r.fill()
	return r
}

// fill gives the host its usage.
func (r *running) fill() {
	r.t.Helper()
	r.apply(priced)
	for n := range 40 {
		e := call(fmt.Sprint("a", n), fmt.Sprint("account-", n%7), "2026-10-05T10:00:00Z", "minutes", fmt.Sprint(n))
		r.send(e)
		if n%5 == 0 {
			r.send(e)
		}
	}
	bad := call("bad", "account-1", "2026-10-06T10:00:00Z", "minutes", "many")
	r.send(bad)
	if _, err := r.ClosePeriod(r.wait(), host.CloseRequest{Period: "2026-10", SkipGrace: true}); err != nil {
		r.t.Fatal(err)
	}
	for n := range 25 {
		r.send(call(fmt.Sprint("b", n), fmt.Sprint("account-", n%9), "2026-11-05T10:00:00Z", "minutes", fmt.Sprint(n)))
	}
}

// digests returns the digest of each partition with its position.
func (r *running) digests() []string {
	r.t.Helper()
	var out []string
	for _, s := range r.PartitionsHealth() {
		out = append(out, fmt.Sprintf("%d %s", s.Position, s.Digest))
	}
	return out
}

// invoicesText is all invoices as they are served.
func (r *running) invoicesText() []string {
	r.t.Helper()
	list, _, _, err := r.Invoices(host.InvoiceFilter{}, query.Page{Size: query.MaxPageSize})
	if err != nil {
		r.t.Fatal(err)
	}
	out := []string{}
	for _, i := range list {
		out = append(out, fmt.Sprintf("%s %s", i.ID, i.Total))
	}
	return out
}

// settled waits until all partitions serve and have committed all of their logs: one
// that has lost its last checkpoints serves the one before while it catches up.
func (r *running) settled() {
	r.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		status, err := r.Status(r.wait())
		if err != nil {
			r.t.Fatal(err)
		}
		open := slices.ContainsFunc(status.Partitions, func(s query.PartitionStatus) bool {
			return s.Health.Condition != host.ConditionServing || s.Position < s.LogEnd
		})
		if !open {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%+v", status.Partitions)
		}
	}
}

// outcome is all that a host says of its state.
func (r *running) outcome() []string {
	return slices.Concat(r.digests(), r.subtotals(query.Filter{}), r.invoicesText(), r.reasons(), []string{fmt.Sprintf("%+v", r.Counters())})
}

// A state that was made again from the log has the digest of the one before,
// whatever the size of the batches that the log was read in.
func TestRebuiltStateIsTheSame(t *testing.T) {
	t.Parallel()
	r := stored(t, 2)
	before := r.outcome()
	for _, d := range r.digests() {
		if !strings.Contains(d, " 1:") {
			t.Fatalf("no digest: %q", d)
		}
	}
	r.restart()
	want(t, r.outcome(), before...)
	r.stop()
	if err := os.RemoveAll(filepath.Join(r.dir, "state", "badger")); err != nil {
		t.Fatal(err)
	}
	r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
	r.settled()
	want(t, r.outcome(), before...)
}

// flip flips a bit of a file.
func flip(t testing.TB, name string, at int64, bit int) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << bit
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// Invoices are not read with the state, but after it. One that is damaged must not
// keep the host from starting.
func TestDamagedInvoiceIsMadeAgain(t *testing.T) {
	r := startHost(t, 1, "2026-11-20T00:00:00Z")
	r.apply(priced)
	var events []billing.UsageEvent
	for n := range 120 { // so many that what they are stored as goes to a value file
		events = append(events, call(fmt.Sprint("a", n), fmt.Sprint("account-", n), "2026-10-05T10:00:00Z", "minutes", "3"))
	}
	r.send(events...)
	if _, err := r.ClosePeriod(r.wait(), host.CloseRequest{Period: "2026-10", SkipGrace: true}); err != nil {
		t.Fatal(err)
	}
	before := r.outcome()
	r.stop()
	files, err := filepath.Glob(filepath.Join(r.dir, "state", "values", "*"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := 0
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, []byte(`"id":"account-1.2026-10`)); at >= 0 {
			flip(t, name, int64(at), 3)
			flipped++
		}
	}
	if flipped == 0 {
		t.Fatal("no value file has an invoice as it is issued")
	}
	r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
	r.settled()
	want(t, r.outcome(), before...)
}

// Whatever bit of the state is flipped while the host is stopped: what is served
// after the next start is what was served before, since the damage is harmless, or
// found and made good from the log.
func TestFlippedBits(t *testing.T) {
	seed := *flipSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to repeat this run: go test ./host -run TestFlippedBits -flips %d -flipseed %d", *flips, seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	r := stored(t, 2)
	before := r.outcome()
	// One image is of a host that was killed, with logs of Badger's that are not yet
	// in tables, and one of a host that was stopped.
	images := [2]string{t.TempDir(), t.TempDir()}
	copyTree(t, filepath.Join(r.dir, "state"), images[0])
	r.stop()
	copyTree(t, filepath.Join(r.dir, "state"), images[1])
	said := &safeBuffer{}
	r.config.Log = textLog(said)
	kinds := map[string]int{}
	found := 0
	for n := range *flips {
		if err := os.RemoveAll(filepath.Join(r.dir, "state")); err != nil {
			t.Fatal(err)
		}
		copyTree(t, images[n%2], filepath.Join(r.dir, "state"))
		name, at := anyByte(t, chance, filepath.Join(r.dir, "state"))
		bit := chance.IntN(8)
		flip(t, name, at, bit)
		kinds[strings.TrimLeft(filepath.Base(name), "0123456789")]++
		said.Reset()
		r.fresh = false
		r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
		r.settled()
		if got := r.outcome(); !slices.Equal(got, before) {
			t.Errorf("flip %d: bit %d of byte %d of %s:\n%s", n, bit, at, name, said)
			want(t, got, before...)
		}
		if text := said.String(); strings.Contains(text, "damage") || strings.Contains(text, "made again") {
			found++
		}
		r.stop()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d flips: %d were found and said, %v", *flips, found, kinds)
}

// Damage that is found while the host runs is made good while it runs: the
// partition refuses to answer meanwhile, the others go on.
func TestDamageWhileRunning(t *testing.T) {
	t.Parallel()
	r := stored(t, 2)
	before := r.outcome()
	r.Condemn(1)
	for deadline := time.Now().Add(20 * time.Second); r.PartitionsHealth()[1].Rebuilds == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the partition is not made again")
		}
	}
	r.settled()
	want(t, r.outcome(), before...)
	if s := r.PartitionsHealth(); s[0].Rebuilds != 0 || s[1].Rebuilds != 1 {
		t.Errorf("%+v", s)
	}
	r.send(call("late", "account-1", "2026-11-05T10:00:00Z", "minutes", "1"))
	r.send(call("late", "account-1", "2026-11-05T10:00:00Z", "minutes", "1"))
	r.send(call("a1", "account-1", "2026-10-05T10:00:00Z", "minutes", "1")) // an identity of the state that was made again
	r.restart()
	r.settled()
}

// Until the state was read in full after a start, the open periods say that they
// wait for that.
func TestPeriodsWaitForTheDigest(t *testing.T) {
	t.Parallel()
	r := stored(t, 1)
	r.stop()
	r.idle = true
	r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
	r.waitsFor(host.WaitUnproven)
}

// waitsFor fails unless there are open periods and each waits for something.
func (r *running) waitsFor(reason string) {
	r.t.Helper()
	open := 0
	for _, p := range first(r.Periods()) {
		if len(p.Open) == 0 {
			continue
		}
		open++
		if !slices.ContainsFunc(p.Waits, func(w query.PeriodWait) bool { return w.Reason == reason }) {
			r.t.Errorf("period %s waits for %+v, and not for %s", p.Period.ID(), p.Waits, reason)
		}
	}
	if open == 0 {
		r.t.Error("no period is open")
	}
}

// A partition that is being made again says so to whoever asks for one of its
// accounts, or for all; the accounts of others are answered.
func TestRebuildingRefuses(t *testing.T) {
	t.Parallel()
	r := stored(t, 2)
	r.stop()
	r.idle = true
	if err := os.RemoveAll(filepath.Join(r.dir, "state", "badger")); err != nil {
		t.Fatal(err)
	}
	r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
	err := r.Servable("")
	if fault := (*host.Fault)(nil); !asFault(err, &fault) || fault.Reason() != host.ReasonUnavailable {
		t.Fatalf("got %v", err)
	}
	for n := range 7 {
		account := fmt.Sprint("account-", n)
		if err := r.Servable(account); err == nil {
			t.Errorf("partition %d answers for %s", billing.Partition(billing.AccountID(account), 2), account)
		}
	}
	if _, err := r.ClosePeriod(r.wait(), host.CloseRequest{Period: "2026-11", SkipGrace: true}); err == nil {
		t.Error("a period is closed from a state that is not whole")
	}
}

// A state that is made again and is not the one that was anchored is not served,
// and stays so after a restart.
func TestAnotherStateIsParked(t *testing.T) {
	t.Parallel()
	r := stored(t, 1)
	position := r.PartitionsHealth()[0].Position
	r.setNow("2026-11-20T00:01:00Z")
	for deadline := time.Now().Add(20 * time.Second); r.PartitionsHealth()[0].Anchored != position; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no anchor")
		}
	}
	if err := r.ForgeAnchor(r.wait(), 0, "1:00000000000000000000000000000000"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r.restart()
		for deadline := time.Now().Add(20 * time.Second); r.PartitionsHealth()[0].Condition != host.ConditionParked; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%+v", r.PartitionsHealth())
			}
		}
		if s := r.PartitionsHealth()[0]; !strings.Contains(s.Reason, "its anchor in the ledger has 1:0000") {
			t.Error(s.Reason)
		}
		if err := r.Servable("account-1"); err == nil {
			t.Error("it answers")
		}
		r.waitsFor(host.WaitUnserved)
	}
}
