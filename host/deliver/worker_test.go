package deliver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/host/stream"
)

// memory is a stream of invoices and a place for progress, in a bubble of its own
// time.
type memory struct {
	mu       sync.Mutex
	messages []stream.Message
	grown    chan struct{}
	kept     []byte
	saves    int
}

func newMemory() *memory { return &memory{grown: make(chan struct{})} }

func document(account string, n int) []byte {
	return fmt.Appendf(nil, `{"id":"%s.2026-%02d-01.EUR.0","account":%q,"period":{"id":"2026-%02d-01"},"currency":"EUR","lines":[],"total":"%d.50"}`, account, n, account, n, n)
}

// issue appends the n-th invoice of accounts.
func (s *memory) issue(n int, accounts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range accounts {
		s.messages = append(s.messages, stream.Message{Sequence: uint64(len(s.messages) + 1), Data: document(a, n), Time: time.Now()})
	}
	close(s.grown)
	s.grown = make(chan struct{})
}

func (s *memory) follow(_ context.Context, after uint64) (feed, error) {
	return &memoryFeed{s, after}, nil
}

func (s *memory) get(_ context.Context, sequence uint64) (*stream.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &s.messages[sequence-1], nil
}

func (s *memory) last(context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.messages)), nil
}

func (s *memory) load(context.Context) ([]byte, error) { return s.kept, nil }

func (s *memory) save(_ context.Context, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept, s.saves = bytes.Clone(b), s.saves+1
	return nil
}

type memoryFeed struct {
	*memory
	after uint64
}

func (f *memoryFeed) Next(ctx context.Context, _ stream.Limit) ([]stream.Message, error) {
	for {
		f.mu.Lock()
		fresh, grown := f.messages[f.after:], f.grown
		f.mu.Unlock()
		if len(fresh) > 0 {
			f.after += uint64(len(fresh))
			return fresh, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (f *memoryFeed) Close() {}

// inbox is a receiver that answers as a test says.
type inbox struct {
	mu     sync.Mutex
	answer func(inv *Invoice) error
	got    []string // ids, in order
	tries  map[string]int
}

func (i *inbox) deliver(ctx context.Context, inv *Invoice) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.tries == nil {
		i.tries = map[string]int{}
	}
	i.tries[inv.ID]++
	if i.answer != nil {
		if err := i.answer(inv); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	i.got = append(i.got, inv.ID)
	return nil
}

func (i *inbox) close() error { return nil }

// start runs a worker until the function that it returns is called.
func start(s *memory, to receiver, epoch uint64) (*worker, func()) {
	return startBounded(s, to, epoch, defaultLimits())
}

func startBounded(s *memory, to receiver, epoch uint64, most limits) (*worker, func()) {
	w := &worker{
		sink: Sink{Name: "test", NATS: &NATS{Subject: "x"}}, receiver: to, source: s, keeper: s, epoch: epoch,
		log: slog.New(slog.DiscardHandler), now: time.Now, results: make(chan result, concurrency), orders: make(chan order), limits: most,
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.run(ctx) }()
	return w, func() {
		cancel()
		<-done
	}
}

func (w *worker) state() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// A receiver that is away for three days and answers nothing but errors gets every
// invoice once, in order, soon after it is back, and was not asked all the time.
func TestAwayForDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, to := newMemory(), &inbox{}
		back := time.Now().Add(72 * time.Hour)
		to.answer = func(*Invoice) error {
			if time.Now().Before(back) {
				return errors.New("connection refused")
			}
			return nil
		}
		w, stop := start(s, to, 1)
		defer stop()
		for n := 1; n <= 3; n++ {
			s.issue(n, "emma", "noah", "mia")
			time.Sleep(20 * time.Hour)
		}
		synctest.Wait()
		if got := w.state(); got.State != StateRetrying || got.HeldAccounts != 3 || got.Pending != 9 || got.Held[0].Error != "connection refused" {
			t.Errorf("while it is away: %+v", got)
		}
		time.Sleep(time.Until(back) + pauseMax)
		synctest.Wait()
		if got := w.state(); got.State != StateDelivering || got.Delivered != 9 || got.Pending != 0 {
			t.Errorf("when it is back: %+v", got)
		}
		for _, a := range []string{"emma", "noah", "mia"} {
			wantOrder(t, to.got, a, 3)
		}
		if tries := to.tries["emma.2026-01-01.EUR.0"]; tries < 72 || tries > 110 {
			t.Errorf("%d attempts in three days, want about one an hour and the first quick ones", tries)
		}
	})
}

// wantOrder checks that an account's invoices came once each and in order.
func wantOrder(t testing.TB, got []string, account string, last int) {
	t.Helper()
	var want, have []string
	for n := 1; n <= last; n++ {
		want = append(want, fmt.Sprintf("%s.2026-%02d-01.EUR.0", account, n))
	}
	for _, id := range got {
		if len(id) > len(account) && id[:len(account)+1] == account+"." {
			have = append(have, id)
		}
	}
	if !slices.Equal(have, want) {
		t.Errorf("account %s got %v, want %v", account, have, want)
	}
}

// What is refused holds up its account alone, until it is taken or passed over.
func TestRefusedHoldsItsAccountAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, to := newMemory(), &inbox{}
		to.answer = func(inv *Invoice) error {
			if inv.ID == "emma.2026-01-01.EUR.0" {
				return &failure{kind: failedRefused, err: errors.New("422 no such customer")}
			}
			return nil
		}
		w, stop := start(s, to, 1)
		defer stop()
		s.issue(1, "emma", "noah")
		s.issue(2, "emma", "noah")
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		wantOrder(t, to.got, "noah", 2)
		wantOrder(t, to.got, "emma", 0)
		if tries := to.tries["emma.2026-01-01.EUR.0"]; tries < 9 || tries > 14 {
			t.Errorf("%d attempts in ten hours, want about one an hour", tries)
		}
		d := &Deliverer{workers: []*worker{w}}
		if err := d.Skip(t.Context(), "test", "emma.2026-02-01.EUR.0"); !errors.Is(err, ErrNotHeld) {
			t.Errorf("the second one was passed over before the first: %v", err)
		}
		if err := d.Skip(t.Context(), "test", "emma.2026-01-01.EUR.0"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.state(); got.Skipped != 1 || got.Delivered != 3 || got.State != StateDelivering {
			t.Errorf("after it was passed over: %+v", got)
		}
		if err := d.Retry(t.Context(), "nobody", ""); !errors.Is(err, ErrNoSink) {
			t.Errorf("a sink that is not there: %v", err)
		}
	})
}

// 410 stops the sink, a restart does not start it again, an operator does.
func TestGoneStopsTheSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, to := newMemory(), &inbox{}
		to.answer = func(*Invoice) error { return &failure{kind: failedGone, err: errors.New("410 Gone")} }
		w, stop := start(s, to, 1)
		s.issue(1, "emma", "noah")
		time.Sleep(time.Hour)
		synctest.Wait()
		tries := to.tries["emma.2026-01-01.EUR.0"]
		if got := w.state(); got.State != StateStopped || tries != 1 {
			t.Errorf("%d attempts, %+v", tries, got)
		}
		stop()
		to.answer = nil
		w, stop = start(s, to, 2)
		defer stop()
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		if got := w.state(); got.State != StateStopped || got.Error != "410 Gone" || len(to.got) != 0 {
			t.Errorf("after a restart: %+v, %v", got, to.got)
		}
		if err := (&Deliverer{workers: []*worker{w}}).Retry(t.Context(), "test", ""); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.state(); got.Delivered != 2 {
			t.Errorf("when it was asked to go on: %+v", got)
		}
	})
}

// However many accounts are refused, what a sink holds in memory is bounded, and
// nothing is lost when they are taken.
func TestHeldIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, to := newMemory(), &inbox{}
		refuse := true
		to.answer = func(*Invoice) error {
			if refuse {
				return &failure{kind: failedRefused, err: errors.New(string(bytes.Repeat([]byte("x"), 10_000)))}
			}
			return nil
		}
		const blockedMax = 300
		w, stop := startBounded(s, to, 1, limits{blocked: blockedMax, held: 4 * blockedMax, bytes: 1 << 20})
		defer stop()
		var accounts []string
		for n := range blockedMax + 500 {
			accounts = append(accounts, fmt.Sprint("account-", n))
		}
		s.issue(1, accounts...)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		got := w.state()
		if got.State != StateFull || got.HeldAccounts < blockedMax || got.HeldAccounts > blockedMax+waitingMax || got.Read > uint64(blockedMax+waitingMax) {
			t.Errorf("full: %d held, %d read, %s", got.HeldAccounts, got.Read, got.State)
		}
		if len(s.keptNow()) > 1<<19 {
			t.Errorf("progress has %d bytes", len(s.kept))
		}
		to.mu.Lock()
		refuse = false
		to.mu.Unlock()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		slices.Sort(to.got)
		if got := w.state(); got.Delivered != uint64(len(accounts)) || len(slices.Compact(to.got)) != len(accounts) {
			t.Errorf("%d of %d delivered, %+v", len(to.got), len(accounts), got.State)
		}
	})
}

// Many accounts whose invoices are refused hold up no other, also over a restart, and
// what is kept of them fits in a message.
func TestManyHeldHoldUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const refused, others = 1_500, 200
		s, to := newMemory(), &inbox{}
		to.answer = func(inv *Invoice) error {
			if strings.HasPrefix(inv.ID, "refused-") {
				return &failure{kind: failedRefused, err: errors.New("422 no such customer: " + inv.ID)}
			}
			return nil
		}
		_, stop := start(s, to, 1)
		var bad, good []string
		for n := range refused {
			bad = append(bad, fmt.Sprint("refused-", n))
		}
		for n := range others {
			good = append(good, fmt.Sprint("good-", n))
		}
		s.issue(1, append(bad, good...)...)
		time.Sleep(10 * time.Minute)
		stop()
		if len(to.got) != others {
			t.Errorf("%d of %d invoices came that nothing stands in the way of", len(to.got), others)
		}
		if n := len(s.keptNow()); n > 256<<10 {
			t.Errorf("progress has %d bytes", n)
		}
		w, stop := start(s, to, 2)
		defer stop()
		s.issue(2, good...)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := w.state(); got.State != StateRetrying || got.HeldAccounts != refused || len(got.Held) != heldListMax || len(to.got) != 2*others {
			t.Errorf("after a restart: %s, %d held, %d listed, %d delivered", got.State, got.HeldAccounts, len(got.Held), len(to.got))
		}
		to.mu.Lock()
		to.answer = nil
		to.mu.Unlock()
		time.Sleep(2 * pauseMax)
		synctest.Wait()
		if got := w.state(); got.State != StateDelivering || got.Delivered != refused+2*others || got.Pending != 0 {
			t.Errorf("when they are taken: %s, %d delivered, %d pending", got.State, got.Delivered, got.Pending)
		}
	})
}

// TestRestarts kills the worker at random moments, with progress as it was last
// kept, under a receiver that fails at random: each account's invoices come in
// order, none is missing, and only what was not kept yet comes again.
func TestRestarts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.SliceOfN(rapid.IntRange(0, 9), 64, 64).Draw(rt, "answers")
		lives := rapid.SliceOfN(rapid.IntRange(1, 4_000), 1, 6).Draw(rt, "lives")
		var got []string
		synctest.Test(t, func(*testing.T) {
			s, to := newMemory(), &inbox{}
			at := 0
			to.answer = func(*Invoice) error {
				at++
				switch a := seed[at%len(seed)]; {
				case a < 3:
					return errors.New("500")
				case a == 3:
					return &failure{kind: failedRefused, err: errors.New("422")}
				}
				return nil
			}
			for n := 1; n <= 9; n++ {
				s.issue(n, "emma", "noah", "mia")
			}
			for epoch, life := range lives {
				_, stop := start(s, to, uint64(epoch+1))
				time.Sleep(time.Duration(life) * time.Millisecond)
				kept := bytes.Clone(s.keptNow())
				stop()
				s.mu.Lock()
				s.kept = kept // what stop has written a kill would not have
				s.mu.Unlock()
			}
			_, stop := start(s, to, 100)
			time.Sleep(200 * time.Hour)
			stop()
			got = to.got
		})
		checkOnce(rt, got)
	})
}

func (s *memory) keptNow() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept
}

// checkOnce checks that, repetitions of what had come before left out, every
// account has all nine in order.
func checkOnce(t *rapid.T, got []string) {
	next := map[string]int{}
	for _, id := range got {
		var account string
		var n int
		if _, err := fmt.Sscanf(id, "emma.2026-%d-01", &n); err == nil {
			account = "emma"
		} else if _, err := fmt.Sscanf(id, "noah.2026-%d-01", &n); err == nil {
			account = "noah"
		} else if _, err := fmt.Sscanf(id, "mia.2026-%d-01", &n); err == nil {
			account = "mia"
		}
		if n > next[account]+1 {
			t.Fatalf("%s came before its predecessor: %v", id, got)
		}
		next[account] = max(next[account], n)
	}
	for _, a := range []string{"emma", "noah", "mia"} {
		if next[a] != 9 {
			t.Fatalf("account %s has %d of 9: %v", a, next[a], got)
		}
	}
}

// A host that was replaced stops delivering.
func TestTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, to := newMemory(), &inbox{}
		_, stop := start(s, to, 7)
		s.issue(1, "emma")
		time.Sleep(time.Second)
		stop()
		w, stop := start(s, to, 6)
		defer stop()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.state(); got.State != StateFailed || got.Error != errTakenOver.Error() {
			t.Errorf("%+v", got)
		}
	})
}

// What is kept of progress is read back as it was.
func TestProgressIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLanes()
		for n := range rapid.IntRange(0, 200).Draw(t, "invoices") {
			l.add(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "account"), uint64(n+1))
		}
		for _, one := range l.all {
			if n := rapid.IntRange(0, 3).Draw(t, "attempts"); n > 0 {
				l.fly(one)
				l.hold(one)
				one.Attempts = n
				l.wait(one)
			}
		}
		p := progress{Epoch: 3, Read: 300, Delivered: 7}
		b, err := p.encode(l)
		if err != nil {
			t.Fatal(err)
		}
		var back progress
		again, err := back.decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if again.waiting != l.waiting || again.held != l.held || again.blocked != l.blocked || back.Read != 300 || back.Epoch != 3 {
			t.Fatalf("%+v %+v", again, back)
		}
		twice, err := back.encode(again)
		if err != nil || !bytes.Equal(b, twice) || !json.Valid(b) {
			t.Fatalf("%s\n%s\n%v", b, twice, err)
		}
	})
}

// Pauses grow to an hour and no further, and never are less than four fifths of
// what they should be.
func TestPause(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1<<40).Draw(t, "attempts")
		after := time.Duration(rapid.Int64Range(0, int64(100*time.Hour)).Draw(t, "after"))
		got := pause(n, &failure{after: after})
		want := pauseMax
		if n < 13 {
			want = min(pauseMax, max(after, time.Second<<(n-1)))
		}
		if got > want || got < want-want/5 {
			t.Fatalf("%v after %d attempts, want about %v", got, n, want)
		}
	})
}
