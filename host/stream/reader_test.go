package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestReadInOrder(t *testing.T) {
	c := openEmbedded(t, 2)
	mustPublish(t, c, events(1, 500, "e"))
	got := readAll(t, openReader(t, c, 1, 0), 500)
	for i, m := range got {
		if m.Sequence != uint64(i+1) || string(m.Data) != fmt.Sprintf("e%d", i) || m.Subject != "usage.1.ev" {
			t.Fatalf("message %d is %+v", i, m)
		}
		if m.Header.Get("content-type") != "application/cloudevents+json" {
			t.Fatalf("header %v", m.Header)
		}
		if d := time.Since(m.Time); d < 0 || d > time.Minute || m.Time.Location() != time.UTC {
			t.Fatalf("time %v", m.Time)
		}
	}
	got = readAll(t, openReader(t, c, 1, 300), 200)
	if got[0].Sequence != 301 {
		t.Fatalf("began at %d", got[0].Sequence)
	}
}

func TestNextKeepsToLimits(t *testing.T) {
	c := openEmbedded(t, 1)
	mustPublish(t, c, events(0, 100, "0123456789")) // the first ten are 11 bytes each
	r := openReader(t, c, 0, 0)
	const linger = 10 * time.Second // long enough that only the limits end a call
	for _, want := range []struct {
		limit Limit
		n     int
	}{
		{Limit{Messages: 3, Linger: linger}, 3},
		{Limit{Messages: 1}, 1},
		{Limit{Bytes: 1, Linger: linger}, 1},
		{Limit{Bytes: 22, Linger: linger}, 2},
		{Limit{Bytes: 23, Linger: linger}, 3},
		{Limit{Messages: 5, Bytes: 1 << 20, Linger: linger}, 5},
		{Limit{Messages: 85, Linger: linger}, 85},
	} {
		got, err := r.Next(testContext(t), want.limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != want.n {
			t.Errorf("limit %+v gave %d messages, want %d", want.limit, len(got), want.n)
		}
	}
	if r.Pending() != 0 {
		t.Errorf("pending is %d at the end", r.Pending())
	}
}

func TestNextWaits(t *testing.T) {
	c := openEmbedded(t, 1)
	r := openReader(t, c, 0, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Next(ctx, Limit{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Next on an empty stream: %v", err)
	}
	done := publishLater(t, c, "late")
	if got := readAll(t, r, 1); string(got[0].Data) != "late0" {
		t.Fatalf("got %+v", got)
	}
	<-done
}

func TestLingerCollects(t *testing.T) {
	c := openEmbedded(t, 1)
	r := openReader(t, c, 0, 0)
	mustPublish(t, c, events(0, 1, "a"))
	done := publishLater(t, c, "b")
	got, err := r.Next(testContext(t), Limit{Messages: 2, Linger: 10 * time.Second})
	if err != nil || len(got) != 2 {
		t.Fatalf("got %d messages, %v", len(got), err)
	}
	<-done
}

// publishLater publishes one message a little later.
func publishLater(t *testing.T, c *Conn, text string) <-chan struct{} {
	done := make(chan struct{})
	time.AfterFunc(50*time.Millisecond, func() {
		defer close(done)
		if _, err := c.Publish(context.Background(), events(0, 1, text)); err != nil {
			t.Error(err)
		}
	})
	return done
}

// A reader that takes its time must neither lose anything nor make the server
// give it up, and large messages must get through.
func TestSlowReaderOfMuch(t *testing.T) {
	c := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir(), Partitions: 1, Unsynced: true}})
	if err := c.EnsureStreams(testContext(t), 1); err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("x"), 1<<20)
	var out []Outgoing
	for range 36 {
		out = append(out, Outgoing{Subject: BatchSubject(0), Data: body})
	}
	out = append(out, Outgoing{Subject: BatchSubject(0), Data: bytes.Repeat([]byte("y"), 8<<20-2<<10)})
	out = append(out, events(0, 40_000, "small")...)
	mustPublish(t, c, out)
	r := openReader(t, c, 0, 0)
	time.Sleep(300 * time.Millisecond) // let the server send what it may
	if n := len(r.pull.inbox); n > len(r.pull.slots)*pullMessages {
		t.Errorf("%d messages were sent ahead", n)
	}
	got := 0
	for got < len(out) {
		batch, err := r.Next(testContext(t), Limit{Messages: 1000, Bytes: 8 << 20})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range batch {
			if got++; m.Sequence != uint64(got) || len(m.Data) != len(out[got-1].Data) {
				t.Fatalf("message %d has sequence %d and %d bytes", got, m.Sequence, len(m.Data))
			}
		}
		if got < 38 {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// gappy makes a usage stream by hand that lets messages be deleted.
func gappy(t *testing.T, c *Conn) jetstream.Stream {
	t.Helper()
	ctx := testContext(t)
	config := c.streamConfig(Usage(0), EventSubject(0))
	config.DenyDelete, config.DenyPurge = false, false
	s, err := c.js.CreateStream(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	mustPublish(t, c, events(0, 10, "e"))
	return s
}

func TestGap(t *testing.T) {
	c := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir(), Partitions: 1}})
	s := gappy(t, c)
	ctx := testContext(t)
	for _, seq := range []uint64{5, 6} {
		if err := s.DeleteMsg(ctx, seq); err != nil {
			t.Fatal(err)
		}
	}
	r := openReader(t, c, 0, 0)
	readAll(t, r, 4)
	for range 2 { // it stays where it is
		_, err := r.Next(ctx, Limit{})
		var gap *GapError
		if !errors.As(err, &gap) || *gap != (GapError{Stream: "USAGE-0", Expected: 5, Got: 7}) {
			t.Fatalf("got %v", err)
		}
		mustFail(t, err, "message 5 is missing, the next one is 7", "backup")
	}
	if got := readAll(t, openReader(t, c, 0, 6), 4); got[0].Sequence != 7 {
		t.Fatalf("behind the gap: %+v", got[0])
	}
}

func TestGapAtTheBeginning(t *testing.T) {
	c := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir(), Partitions: 1}})
	s := gappy(t, c)
	if err := s.Purge(testContext(t), jetstream.WithPurgeSequence(4)); err != nil {
		t.Fatal(err)
	}
	_, err := openReader(t, c, 0, 0).Next(testContext(t), Limit{})
	var gap *GapError
	if !errors.As(err, &gap) || gap.Expected != 1 || gap.Got != 4 {
		t.Fatalf("got %v", err)
	}
}

func TestReaderRefusesShorterStream(t *testing.T) {
	c := openEmbedded(t, 1)
	mustPublish(t, c, events(0, 3, "e"))
	_, err := c.Reader(testContext(t), 0, 4)
	var changed *StreamChangedError
	if !errors.As(err, &changed) || changed.Position != 4 || changed.Last != 3 {
		t.Fatalf("got %v", err)
	}
	mustFail(t, err, "USAGE-0", "up to 4", "it ends at 3", "backup")
	_, err = c.Reader(testContext(t), 7, 0)
	mustFail(t, err, "USAGE-7", "does not exist")
}

func TestReaderNoticesNewStream(t *testing.T) {
	c := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir(), Partitions: 1}})
	gappy(t, c)
	r := openReader(t, c, 0, 0)
	readAll(t, r, 10)
	ctx := testContext(t)
	if err := c.js.DeleteStream(ctx, Usage(0)); err != nil {
		t.Fatal(err)
	}
	c.ends = newEnds() // another producer knows nothing of the old one
	gappy(t, c)
	_, err := r.Next(ctx, Limit{})
	mustFail(t, err, "USAGE-0", "made anew at")
	var changed *StreamChangedError
	if !errors.As(err, &changed) {
		t.Fatalf("got %T", err)
	}
}

func TestReaderNoticesDeletedStream(t *testing.T) {
	c := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir(), Partitions: 1}})
	gappy(t, c)
	r := openReader(t, c, 0, 0)
	readAll(t, r, 10)
	if err := c.js.DeleteStream(testContext(t), Usage(0)); err != nil {
		t.Fatal(err)
	}
	_, err := r.Next(testContext(t), Limit{})
	mustFail(t, err, "USAGE-0", "it does not exist")
}

func TestEach(t *testing.T) {
	c := openEmbedded(t, 1)
	ctx := testContext(t)
	if err := c.Each(ctx, Catalog, "", 0, func(Message) error { return errors.New("called") }); err != nil {
		t.Fatal(err)
	}
	var out []Outgoing
	for i := range 300 {
		out = append(out, Outgoing{Subject: fmt.Sprintf("catalog.%c", 'a'+i%3), Data: fmt.Append(nil, i)})
	}
	mustPublish(t, c, out)
	collect := func(subject string, after uint64) (got []string) {
		t.Helper()
		if err := c.Each(ctx, Catalog, subject, after, func(m Message) error { got = append(got, string(m.Data)); return nil }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := collect("", 0); len(got) != 300 || got[299] != "299" {
		t.Errorf("all: %d", len(got))
	}
	if got := collect("", 299); len(got) != 1 {
		t.Errorf("after 299: %v", got)
	}
	if got := collect("", 300); got != nil {
		t.Errorf("after the end: %v", got)
	}
	if got := collect("catalog.b", 0); len(got) != 100 || got[1] != "4" {
		t.Errorf("one subject: %v", got)
	}
	if got := collect("catalog.none", 0); got != nil {
		t.Errorf("no subject: %v", got)
	}
	stop := errors.New("stop")
	if err := c.Each(ctx, Catalog, "", 0, func(Message) error { return stop }); err != stop {
		t.Errorf("error of fn: %v", err)
	}
}

func TestLastGetIdentity(t *testing.T) {
	c := openEmbedded(t, 1)
	ctx := testContext(t)
	if m, err := c.Last(ctx, Ledger, "ledger.nothing"); m != nil || err != nil {
		t.Fatalf("%v %v", m, err)
	}
	if first, last, err := c.LastSequence(ctx, Usage(0)); first != 0 || last != 0 || err != nil {
		t.Fatalf("empty stream: %d %d %v", first, last, err)
	}
	mustPublish(t, c, events(0, 3, "e"))
	m, err := c.Get(ctx, Usage(0), 2)
	if err != nil || string(m.Data) != "e1" || m.Header.Get("Content-Type") == "" {
		t.Fatalf("%+v %v", m, err)
	}
	if _, err := c.Get(ctx, Usage(0), 9); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	if _, err := c.Get(ctx, "USAGE-9", 1); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	if first, last, err := c.LastSequence(ctx, Usage(0)); first != 1 || last != 3 || err != nil {
		t.Fatalf("%d %d %v", first, last, err)
	}
	made, err := c.StreamIdentity(ctx, Usage(0))
	if err != nil || time.Since(made) > time.Minute {
		t.Fatalf("%v %v", made, err)
	}
}

func TestHeaderGet(t *testing.T) {
	h := Header{"ce-id": {"1", "2"}, "Content-Type": {"a"}, "content-TYPE": {"b"}, "Empty": {}}
	for name, want := range map[string]string{"ce-id": "1", "CE-ID": "1", "Content-Type": "a", "content-type": "a", "empty": "", "none": ""} {
		if got := h.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if Header(nil).Get("x") != "" {
		t.Error("nil header")
	}
}

func TestParseDelivery(t *testing.T) {
	want := delivery{sequence: 1234, consumer: 56, time: 1795331548310350750, pending: 99}
	for _, reply := range []string{
		"$JS.ACK.USAGE-0.tollway-x.1.1234.56.1795331548310350750.99",
		"$JS.ACK.hub.ACCHASH.USAGE-0.tollway-x.1.1234.56.1795331548310350750.99",
		"$JS.ACK._.ACCHASH.USAGE-0.tollway-x.1.1234.56.1795331548310350750.99.token",
	} {
		if got, ok := parseDelivery(reply); !ok || got != want {
			t.Errorf("%s: %+v %v", reply, got, ok)
		}
	}
	for _, reply := range []string{
		"", "x", "$JS.ACK.", "$JS.ACK.a.b.1.2.3.4", "$JS.ACK.a.b.1.x.3.4.5", "$JS.ACK.a.b.1..3.4.5", "$JS.ACK.a.b.1.0.3.4.5",
		"$JS.ACK.a.b.c.1.2.3.4.5", strings.Repeat("$JS.ACK.", 9),
	} {
		if got, ok := parseDelivery(reply); ok {
			t.Errorf("%s: %+v", reply, got)
		}
	}
}

func FuzzParseDelivery(f *testing.F) {
	f.Add("$JS.ACK.USAGE-0.tollway-x.1.1234.56.1795331548310350750.99")
	f.Add("$JS.ACK._.H.USAGE-0.tollway-x.1.1234.56.1795331548310350750.99.token")
	f.Fuzz(func(t *testing.T, reply string) {
		if d, ok := parseDelivery(reply); ok && d.sequence == 0 {
			t.Fatal("a delivery without a sequence")
		}
	})
}
