package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"
)

// entries makes the entries numbered from first to last.
func entries(first, last int) [][]byte {
	var out [][]byte
	for n := first; n <= last; n++ {
		out = append(out, fmt.Appendf(nil, "entry %d", n))
	}
	return out
}

// checkChain reads a subject and makes sure that it holds entries 1 to n, in
// order, each once.
func checkChain(t *testing.T, c *Conn, subject string, n int) {
	t.Helper()
	stream, err := streamOf(subject)
	if err != nil {
		t.Fatal(err)
	}
	want := 1
	err = c.Each(testContext(t), stream, subject, 0, func(m Message) error {
		if m.Header.Get(headerNumber) != strconv.Itoa(want) || string(m.Data) != fmt.Sprintf("entry %d", want) {
			return fmt.Errorf("entry %d reads %q with number %s", want, m.Data, m.Header.Get(headerNumber))
		}
		want++
		return nil
	})
	if err != nil || want != n+1 {
		t.Fatalf("%d of %d entries, %v", want-1, n, err)
	}
}

func openChain(t *testing.T, c *Conn, subject string) *Chain {
	t.Helper()
	h, err := c.Chain(testContext(t), subject)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestChain(t *testing.T) {
	c := openEmbedded(t, 2)
	ctx := testContext(t)
	subject := InvoicesSubject(1)
	h := openChain(t, c, subject)
	if h.Last() != 0 {
		t.Fatalf("a new chain stands at %d", h.Last())
	}
	publish := func(first, last int) {
		t.Helper()
		if err := h.Publish(ctx, uint64(first), entries(first, last)); err != nil {
			t.Fatal(err)
		}
	}
	publish(1, 1)
	publish(2, 10)
	publish(5, 12) // some are there already
	publish(3, 4)  // all are
	publish(13, 12)
	if other := openChain(t, c, InvoicesSubject(0)); other.Last() != 0 || other.Publish(ctx, 1, entries(1, 3)) != nil {
		t.Error("another subject of the stream")
	}
	publish(13, 2500)
	mustFail(t, h.Publish(ctx, 2502, entries(2502, 2503)), "entry 2502", "cannot come after entry 2500")
	mustFail(t, h.Publish(ctx, 0, entries(1, 1)), "entry 0")
	if h.Last() != 2500 {
		t.Errorf("it stands at %d", h.Last())
	}
	checkChain(t, c, subject, 2500)
	checkChain(t, c, InvoicesSubject(0), 3)
	if again := openChain(t, c, subject); again.Last() != 2500 {
		t.Errorf("opened anew it stands at %d", again.Last())
	}
}

// Large entries make several batches.
func TestChainOfLargeEntries(t *testing.T) {
	c := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir(), Partitions: 1, Unsynced: true}})
	if err := c.EnsureStreams(testContext(t), 1); err != nil {
		t.Fatal(err)
	}
	h := openChain(t, c, DeadLettersSubject(0))
	large := make([][]byte, batchMessagesMin+1)
	for i := range large {
		large[i] = make([]byte, 1<<20)
	}
	if err := h.Publish(testContext(t), 1, large); err != nil {
		t.Fatal(err)
	}
	if _, last, err := c.LastSequence(testContext(t), DeadLetters); err != nil || last != uint64(len(large)) || h.Last() != last {
		t.Fatalf("%d %v", last, err)
	}
	mustFail(t, h.Publish(testContext(t), h.Last()+1, [][]byte{make([]byte, 9<<20)}), "larger than")
	if err := h.Publish(testContext(t), h.Last()+1, entries(1, 1)); err != nil {
		t.Fatal(err)
	}
}

// Two hosts that both believe that they publish: nothing is written twice, and
// the slower one is told.
func TestChainConflict(t *testing.T) {
	c := openEmbedded(t, 1)
	ctx := testContext(t)
	subject := DeadLettersSubject(0)
	a, b := openChain(t, c, subject), openChain(t, c, subject)
	if err := a.Publish(ctx, 1, entries(1, 5)); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 3, 50} {
		b.stale = false
		b.number, b.sequence = 0, 0
		if err := b.Publish(ctx, 1, entries(1, n)); !errors.Is(err, ErrConflict) {
			t.Fatalf("%d entries: %v", n, err)
		}
	}
	if err := b.Publish(ctx, 1, entries(1, 7)); err != nil { // it asks again
		t.Fatal(err)
	}
	checkChain(t, c, subject, 7)
}

func TestChainRefusesForeignMessage(t *testing.T) {
	c := openEmbedded(t, 1)
	mustPublish(t, c, []Outgoing{{Subject: InvoicesSubject(0), Data: []byte("x")}})
	_, err := c.Chain(testContext(t), InvoicesSubject(0))
	mustFail(t, err, "message 1 of INVOICES on invoices.0 has no number", "something other than Tollway writes there")
	_, err = c.Chain(testContext(t), "nowhere")
	mustFail(t, err, "nowhere")
}

// Acknowledgements are lost at every step; no entry is doubled or missing.
func TestChainSurvivesLostAcks(t *testing.T) {
	p := startNATS(t, plainJetStream)
	between := startProxy(t, fmt.Sprintf("127.0.0.1:%d", p.port))
	c := openTest(t, Config{URL: between.url()})
	if err := c.EnsureStreams(testContext(t), 1); err != nil {
		t.Fatal(err)
	}
	h := openChain(t, c, InvoicesSubject(0))
	last := 0
	for _, n := range []int{1, 3, 40, 1, 1100} {
		between.cutAt(ackOf(Invoices))
		if err := h.Publish(testContext(t), uint64(last+1), entries(last+1, last+n)); err != nil {
			t.Fatal(err)
		}
		if between.armed() {
			t.Fatal("no acknowledgement was lost")
		}
		last += n
	}
	checkChain(t, c, InvoicesSubject(0), last)
}

// The server is killed at random moments while a chain grows; whatever its user
// does after an error, each entry is there once.
func TestChainSurvivesKills(t *testing.T) {
	p := startNATS(t, printedConfig(1))
	c := openExternal(t, p, 1)
	h := openChain(t, c, DeadLettersSubject(0))
	last := 0
	for round := range 6 {
		killed := p.killLater(time.Duration(15+13*round) * time.Millisecond)
		for alive := true; alive; {
			n := 1 + (last*7)%300
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			err := h.Publish(ctx, uint64(last+1), entries(last+1, last+n))
			cancel()
			switch {
			case err == nil:
				last += n
			case !errors.Is(err, ErrUnavailable):
				t.Fatal(err)
			}
			select {
			case <-killed:
				alive = false
			default:
			}
		}
		p.start()
		waitConnected(t, c)
		if round%2 == 1 {
			h = openChain(t, c, DeadLettersSubject(0))
		}
		if err := h.Publish(testContext(t), uint64(last+1), entries(last+1, last+1)); err != nil {
			t.Fatal(err)
		}
		if last = int(h.Last()); last == 0 {
			t.Fatal("nothing was written")
		}
	}
	checkChain(t, c, DeadLettersSubject(0), last)
}
