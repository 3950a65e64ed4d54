package stream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// The server loses its tail and then gets other messages: the position is there
// again, but it is not the same log.
func TestReaderNoticesRewrittenTail(t *testing.T) {
	p := startNATS(t, printedConfig(1))
	c := openExternal(t, p, 1)
	mustPublish(t, c, events(0, 5, "kept"))
	p.kill()
	saved := t.TempDir()
	copyDir(t, p.store, saved)
	p.start()
	waitConnected(t, c)
	mustPublish(t, c, events(0, 5, "lost"))
	r := openReader(t, c, 0, 0)
	readAll(t, r, 10)
	p.kill()
	if err := os.RemoveAll(p.store); err != nil {
		t.Fatal(err)
	}
	copyDir(t, saved, p.store)
	p.start()
	waitConnected(t, c)
	c.ends = newEnds() // another producer knows nothing of what was lost
	mustPublish(t, c, events(0, 8, "other"))
	_, err := r.Next(testContext(t), Limit{})
	mustFail(t, err, "USAGE-0", "up to 10", "another message stands at that position")
}

func TestReaderNoticesLostTail(t *testing.T) {
	p := startNATS(t, printedConfig(1))
	c := openExternal(t, p, 1)
	mustPublish(t, c, events(0, 5, "kept"))
	p.kill()
	saved := t.TempDir()
	copyDir(t, p.store, saved)
	p.start()
	waitConnected(t, c)
	mustPublish(t, c, events(0, 5, "lost"))
	r := openReader(t, c, 0, 0)
	readAll(t, r, 10)
	p.kill()
	if err := os.RemoveAll(p.store); err != nil {
		t.Fatal(err)
	}
	copyDir(t, saved, p.store)
	p.start()
	_, err := r.Next(testContext(t), Limit{})
	mustFail(t, err, "USAGE-0", "up to 10", "it ends at 5")
}

// waitConnected waits until a connection is back.
func waitConnected(t *testing.T, c *Conn) {
	t.Helper()
	for range 600 {
		if c.Connected() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the connection does not come back")
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// Reading goes on over restarts of the server, without holes and without
// doubles.
func TestReadOverRestarts(t *testing.T) {
	p := startNATS(t, printedConfig(1))
	c := openExternal(t, p, 1)
	r := openReader(t, c, 0, 0)
	next := uint64(1)
	for round := range 3 {
		mustPublish(t, c, events(0, 300, fmt.Sprintf("r%d-", round)))
		if round == 1 { // with what was fetched and not taken
			readNext(t, r, &next, 50)
		}
		p.kill()
		p.start()
		waitConnected(t, c)
		for next <= uint64(300*(round+1)) {
			readNext(t, r, &next, 1000)
		}
	}
}

// readNext reads a batch whose sequences must go on at next.
func readNext(t *testing.T, r *Reader, next *uint64, limit int) []Message {
	t.Helper()
	batch, err := r.Next(testContext(t), Limit{Messages: limit})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range batch {
		if m.Sequence != *next {
			t.Fatalf("sequence %d came instead of %d", m.Sequence, *next)
		}
		*next++
	}
	return batch
}

// What was acknowledged is there after kill -9, and nothing is read twice.
func TestKillBetweenPublishAndRead(t *testing.T) {
	p := startNATS(t, printedConfig(1))
	c := openExternal(t, p, 1)
	r := openReader(t, c, 0, 0)
	acked := map[uint64]string{}
	for round := range 4 {
		killed := p.killLater(time.Duration(40+60*round) * time.Millisecond)
		for i := 0; ; i++ {
			out := events(0, 64, fmt.Sprintf("r%d-%d-", round, i))
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			sequences, err := c.Publish(ctx, out)
			cancel()
			for k, seq := range sequences {
				if seq != 0 {
					acked[seq] = string(out[k].Data)
				}
			}
			if err != nil {
				if !errors.Is(err, ErrUnavailable) {
					t.Fatal(err)
				}
				break
			}
		}
		<-killed
		p.start()
		waitConnected(t, c)
	}
	_, last, err := c.LastSequence(testContext(t), Usage(0))
	if err != nil {
		t.Fatal(err)
	}
	for next := uint64(1); next <= last; {
		for _, m := range readNext(t, r, &next, 0) {
			if want, ok := acked[m.Sequence]; ok && want != string(m.Data) {
				t.Fatalf("%d was acknowledged for %q and is %q", m.Sequence, want, m.Data)
			}
			delete(acked, m.Sequence)
		}
	}
	if len(acked) > 0 {
		t.Fatalf("%d acknowledged messages are lost", len(acked))
	}
}

// A server that says nothing at all, not even that it is alive, is left for a
// new consumer.
func TestReaderLeavesSilentServer(t *testing.T) {
	p := startNATS(t, printedConfig(1))
	c := openExternal(t, p, 1)
	mustPublish(t, c, events(0, 1, "before"))
	r := openReader(t, c, 0, 0)
	r.pull.idle = 100 * time.Millisecond
	r.pull.broken = errors.New("a shorter idle time")
	readAll(t, r, 1)
	consumer := r.pull.consumer
	p.pause()
	resumed := make(chan struct{})
	time.AfterFunc(500*time.Millisecond, func() {
		defer close(resumed)
		p.resume()
		if _, err := c.Publish(context.Background(), events(0, 1, "after")); err != nil {
			t.Error(err)
		}
	})
	if got := readAll(t, r, 1); string(got[0].Data) != "after0" || r.pull.consumer == consumer {
		t.Errorf("%q came from consumer %s", got[0].Data, r.pull.consumer)
	}
	<-resumed
}

// What the server says about a request decides what comes next.
func TestRequestStatus(t *testing.T) {
	c := openEmbedded(t, 1)
	r := openReader(t, c, 0, 0)
	p := r.pull
	say := func(code, description string) *nats.Msg {
		return &nats.Msg{Subject: p.slots[0].reply, Header: nats.Header{"Status": {code}, "Description": {description}}}
	}
	old := &nats.Msg{Subject: p.slots[0].prefix + "old", Header: nats.Header{"Status": {"409"}, "Description": {"Consumer Deleted"}}}
	for _, step := range []struct {
		m      *nats.Msg
		again  bool // another request is sent
		broken bool
		grown  bool // with more room
	}{
		{say("100", "Idle Heartbeat"), false, false, false},
		{old, false, false, false},
		{say("408", "Request Timeout"), true, false, false},
		{say("409", "Batch Completed"), true, false, false},
		{say("409", "Message Size Exceeds MaxBytes"), true, false, true},
		{say("409", "Leadership Change"), false, true, false},
		{say("503", ""), false, true, false},
	} {
		before := p.slots[0]
		if step.m != old {
			step.m.Subject = before.reply
		}
		p.broken = nil
		p.status(&p.slots[0], step.m)
		after := p.slots[0]
		if (after.requests != before.requests) != step.again || (p.broken != nil) != step.broken || (after.bytesMax > before.bytesMax) != step.grown {
			t.Errorf("%v: %+v, %v", step.m.Header, after, p.broken)
		}
	}
}
