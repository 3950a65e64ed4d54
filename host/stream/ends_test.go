package stream

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Usage that a stream takes which was made anew is not reported as taken: it would be
// gone when the right stream is put back.
func TestPublishNoticesNewStream(t *testing.T) {
	for name, known := range map[string]func(t *testing.T, c *Conn){
		"by what was written": func(*testing.T, *Conn) {},
		"by what was read": func(t *testing.T, c *Conn) {
			c.ends = newEnds() // as of another process
			readAll(t, openReader(t, c, 0, 0), 10)
		},
		"by where reading begins": func(t *testing.T, c *Conn) {
			c.ends = newEnds()
			openReader(t, c, 0, 10)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir(), Partitions: 1}})
			s := gappy(t, c)
			known(t, c)
			mustPublish(t, c, events(0, 2, "good"))
			ctx := testContext(t)
			config := s.CachedInfo().Config
			if err := c.js.DeleteStream(ctx, Usage(0)); err != nil {
				t.Fatal(err)
			}
			// The server removes the folder of its last stream behind the answer, and can
			// so be in its own way.
			for try := 0; ; try++ {
				_, err := c.js.CreateStream(ctx, config)
				if err == nil {
					break
				}
				if try == 20 || !strings.Contains(err.Error(), "could not create storage directory") {
					t.Fatal(err)
				}
				time.Sleep(50 * time.Millisecond)
			}
			for range 14 { // also once the new stream is longer than the old one
				sequences, err := c.Publish(ctx, events(0, 1, "lost"))
				var changed *StreamChangedError
				if !errors.As(err, &changed) || sequences[0] != 0 {
					t.Fatalf("sequences %v, %v", sequences, err)
				}
				mustFail(t, err, "USAGE-0", "got number 1", "restore the stream")
			}
			stream, err := c.js.Stream(ctx, Usage(0))
			if err != nil {
				t.Fatal(err)
			}
			if n := stream.CachedInfo().State.Msgs; n != 1 {
				t.Errorf("%d messages were written to the new stream, and the first has shown that it is one", n)
			}
		})
	}
}

// A batch of which the stream is new is no different.
func TestPublishOfBatchNoticesNewStream(t *testing.T) {
	c := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir(), Partitions: 1}})
	s := gappy(t, c)
	mustPublish(t, c, events(0, 100, "good"))
	ctx := testContext(t)
	config := s.CachedInfo().Config
	if err := c.js.DeleteStream(ctx, Usage(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.js.CreateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	_, err := c.Publish(ctx, events(0, batchMessagesMin, "lost"))
	var failed *PublishError
	if !errors.As(err, &failed) || len(failed.Failed) != batchMessagesMin {
		t.Fatalf("got %v", err)
	}
	var notFound *jetstream.APIError
	if errors.As(err, &notFound) {
		t.Fatalf("got %v", err)
	}
}
