package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// Few messages go one by one, many as atomic batches; both come back with their
// sequences, in order.
func TestPublish(t *testing.T) {
	for _, unsynced := range []bool{false, true} {
		c := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir(), Partitions: 2, Unsynced: unsynced}})
		if err := c.EnsureStreams(testContext(t), 2); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, batchMessagesMin - 1, batchMessagesMin, batchMessagesMax, batchMessagesMax + 1, 2500} {
			_, before, err := c.LastSequence(testContext(t), Usage(0))
			if err != nil {
				t.Fatal(err)
			}
			out := append(events(0, n, fmt.Sprintf("n%d-", n)), events(1, 3, "other")...)
			sequences := mustPublish(t, c, out)
			for i := range n {
				if sequences[i] != before+uint64(i)+1 {
					t.Fatalf("%d messages: number %d got sequence %d, want %d", n, i, sequences[i], before+uint64(i)+1)
				}
			}
			if n == 0 {
				continue
			}
			got := readAll(t, openReader(t, c, 0, before), n)
			for i, m := range got {
				if !bytes.Equal(m.Data, out[i].Data) || m.Header.Get("Content-Type") != out[i].Header["Content-Type"] {
					t.Fatalf("%d messages: number %d reads %q", n, i, m.Data)
				}
			}
		}
	}
}

func TestPublishFromMany(t *testing.T) {
	c := openEmbedded(t, 4)
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]bool{}
	for w := range 16 {
		all.Go(func() {
			for round := range 3 {
				out := append(events(w%4, 200, fmt.Sprintf("w%d-%d-", w, round)), events((w+1)%4, 5, "few")...)
				sequences, err := c.Publish(context.Background(), out)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for i, seq := range sequences {
					key := fmt.Sprint(out[i].Subject, seq)
					if seen[key] {
						t.Errorf("%s twice", key)
					}
					seen[key] = true
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	var total uint64
	for p := range 4 {
		_, last, err := c.LastSequence(testContext(t), Usage(p))
		if err != nil {
			t.Fatal(err)
		}
		total += last
	}
	if total != 16*3*205 || len(seen) != int(total) {
		t.Errorf("%d stored, %d acknowledged, want %d", total, len(seen), 16*3*205)
	}
}

func TestPublishSaysWhichFailed(t *testing.T) {
	c := openEmbedded(t, 1)
	out := []Outgoing{
		{Subject: EventSubject(0), Data: []byte("good")},
		{Subject: "elsewhere", Data: []byte("x")},
		{Subject: BatchSubject(0), Data: make([]byte, 9<<20)},
		{Subject: EventSubject(5), Data: []byte("no such stream")},
		{Subject: EventSubject(0), Data: []byte("good too")},
	}
	sequences, err := c.Publish(testContext(t), out)
	var failed *PublishError
	if !errors.As(err, &failed) || len(failed.Failed) != 3 || failed.Total != 5 {
		t.Fatalf("got %v", err)
	}
	for i, want := range []struct {
		index int
		text  string
	}{{1, `subject "elsewhere" belongs to none`}, {2, "larger than the"}, {3, "no stream takes the subject"}} {
		if f := failed.Failed[i]; f.Index != want.index || !strings.Contains(f.Err.Error(), want.text) {
			t.Errorf("failure %d: %+v", i, f)
		}
	}
	if !errors.Is(err, ErrUnavailable) {
		t.Error("the missing stream is not ErrUnavailable")
	}
	mustFail(t, err, "3 of 5 messages were not acknowledged, the first of them number 1")
	if fmt.Sprint(sequences) != "[1 0 0 0 2]" {
		t.Errorf("sequences %v", sequences)
	}
}

func TestPublishWhileAway(t *testing.T) {
	p := startNATS(t, printedConfig(1))
	c := openExternal(t, p, 1)
	p.kill()
	for _, n := range []int{1, 100} {
		begin := time.Now()
		_, err := c.Publish(testContext(t), events(0, n, "e"))
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%d messages: %v", n, err)
		}
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("it took %v to say so", d)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.Append(ctx, "ledger.x", 0, nil, nil); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Append: %v", err)
	}
	p.start()
	waitConnected(t, c)
	mustPublish(t, c, events(0, 100, "e"))
	if n := len(c.acks.waiting) + len(c.acks.singles) + len(c.acks.batches); n != 0 {
		t.Errorf("%d acknowledgements are still waited for", n)
	}
}

// A stopped server neither acknowledges nor hangs up; the context ends the wait.
func TestPublishEndsWithContext(t *testing.T) {
	p := startNATS(t, printedConfig(1))
	c := openExternal(t, p, 1)
	p.pause()
	defer p.resume()
	for _, n := range []int{2, 100} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := c.Publish(ctx, events(0, n, "e"))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnavailable) {
			t.Errorf("%d messages: %v", n, err)
		}
	}
	c.acks.mu.Lock()
	defer c.acks.mu.Unlock()
	if n := len(c.acks.waiting) + len(c.acks.singles) + len(c.acks.batches); n != 0 {
		t.Errorf("%d acknowledgements are still waited for", n)
	}
}

func TestAppend(t *testing.T) {
	c := openEmbedded(t, 1)
	ctx := testContext(t)
	subject := ControlSubject(0, "close.UTC.1.2026-01-01")
	first, err := c.Append(ctx, subject, 0, map[string]string{"K": "v"}, []byte("a"))
	if err != nil || first != 1 {
		t.Fatalf("%d %v", first, err)
	}
	mustPublish(t, c, events(0, 3, "between"))
	_, err = c.Append(ctx, subject, 0, nil, []byte("b"))
	if !errors.Is(err, ErrConflict) {
		t.Fatalf("got %v", err)
	}
	mustFail(t, err, subject)
	if _, err = c.Append(ctx, subject, 99, nil, []byte("b")); !errors.Is(err, ErrConflict) {
		t.Fatalf("a guard from the future: %v", err)
	}
	second, err := c.Append(ctx, subject, first, nil, []byte("b"))
	if err != nil || second != 5 {
		t.Fatalf("%d %v", second, err)
	}
	m, err := c.Get(ctx, Usage(0), first)
	if err != nil || m.Header.Get("K") != "v" {
		t.Fatalf("%+v %v", m, err)
	}
	if _, err := c.Append(ctx, "nowhere", 0, nil, nil); err == nil {
		t.Error("a subject of no stream")
	}
	if _, err := c.Append(ctx, subject, second, nil, make([]byte, 9<<20)); err == nil {
		t.Error("a message too large")
	}
}

// The server stores the message and the acknowledgement is lost: Append finds
// out that the message is its own. When somebody else's is there, it says so.
func TestAppendSurvivesLostAck(t *testing.T) {
	p := startNATS(t, plainJetStream)
	between := startProxy(t, fmt.Sprintf("127.0.0.1:%d", p.port))
	c := openTest(t, Config{URL: between.url()})
	ctx := testContext(t)
	if err := c.EnsureStreams(ctx, 1); err != nil {
		t.Fatal(err)
	}
	last := uint64(0)
	for i := range 4 {
		between.cutAt(ackOf(Ledger))
		seq, err := c.Append(ctx, "ledger.x", last, nil, fmt.Append(nil, i))
		if err != nil {
			t.Fatal(err)
		}
		if seq != last+1 || between.armed() {
			t.Fatalf("append %d has sequence %d; acknowledgement kept back: %v", i, seq, !between.armed())
		}
		last = seq
	}
	if _, stored, err := c.LastSequence(ctx, Ledger); err != nil || stored != 4 {
		t.Fatalf("%d messages are stored, %v", stored, err)
	}
}

// An acknowledgement is lost and then the message turns out to be of another
// writer, who came first.
func TestAppendLosesToOther(t *testing.T) {
	p := startNATS(t, plainJetStream)
	between := startProxy(t, fmt.Sprintf("127.0.0.1:%d", p.port))
	c := openTest(t, Config{URL: between.url()})
	ctx := testContext(t)
	if err := c.EnsureStreams(ctx, 1); err != nil {
		t.Fatal(err)
	}
	other := openTest(t, Config{URL: p.url()})
	if _, err := other.Append(ctx, "ledger.x", 0, nil, []byte("other")); err != nil {
		t.Fatal(err)
	}
	between.cutAt("wrong last sequence")
	if _, err := c.Append(ctx, "ledger.x", 0, nil, []byte("mine")); !errors.Is(err, ErrConflict) || between.armed() {
		t.Fatalf("got %v", err)
	}
}
