package stream

import (
	"bytes"
	"context"
	"fmt"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Sizes of the messages that benchmarks use: a single JSON event, and 100 events
// packed.
var benchSizes = []struct {
	name  string
	bytes int
}{{"single_226B", 226}, {"packed_10kB", 10_000}}

// benchConn opens an embedded server, with b.N messages in partition 0 unless
// that is empty.
func benchConn(b *testing.B, unsynced bool, fill, size int) *Conn {
	b.Helper()
	ctx := context.Background()
	c, err := Open(ctx, Config{Embedded: &EmbeddedConfig{StoreDir: b.TempDir(), Partitions: 1, Unsynced: unsynced}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := c.Close(); err != nil {
			b.Error(err)
		}
	})
	if err := c.EnsureStreams(ctx, 1); err != nil {
		b.Fatal(err)
	}
	out := make([]Outgoing, min(fill, 10_000))
	for i := range out {
		out[i] = Outgoing{Subject: EventSubject(0), Data: bytes.Repeat([]byte("x"), size)}
	}
	for left := fill; left > 0; left -= len(out) {
		out = out[:min(left, len(out))]
		if _, err := c.Publish(ctx, out); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

// reportCPU reports the processor time of the whole process, server included, for
// each message: on a shared machine it says more than the wall clock.
func reportCPU(b *testing.B) {
	b.Helper()
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	begin := used()
	b.ResetTimer()
	b.Cleanup(func() { b.ReportMetric(float64(used()-begin)/float64(b.N), "cpu-ns/op") })
}

// BenchmarkRead is the rate at which a reader gets messages.
func BenchmarkRead(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			c := benchConn(b, true, b.N, size.bytes)
			b.ReportAllocs()
			b.SetBytes(int64(size.bytes))
			reportCPU(b)
			r, err := c.Reader(context.Background(), 0, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			for n := 0; n < b.N; {
				batch, err := r.Next(context.Background(), Limit{Messages: 20_000, Bytes: 16 << 20})
				if err != nil {
					b.Fatal(err)
				}
				n += len(batch)
			}
		})
	}
}

// BenchmarkReadLibrary is what the client library's ordered consumer does on the
// same stream, for comparison.
func BenchmarkReadLibrary(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			c := benchConn(b, true, b.N, size.bytes)
			b.ReportAllocs()
			b.SetBytes(int64(size.bytes))
			reportCPU(b)
			consumer, err := c.js.OrderedConsumer(context.Background(), Usage(0), jetstream.OrderedConsumerConfig{})
			if err != nil {
				b.Fatal(err)
			}
			done := make(chan struct{})
			n := 0
			consume, err := consumer.Consume(func(jetstream.Msg) {
				if n++; n == b.N {
					close(done)
				}
			}, jetstream.PullMaxMessages(min(20_000, 20<<20/size.bytes)))
			if err != nil {
				b.Fatal(err)
			}
			<-done
			consume.Stop()
		})
	}
}

// BenchmarkPublish is the rate of durable messages, by how many go at a time.
func BenchmarkPublish(b *testing.B) {
	for _, unsynced := range []bool{false, true} {
		for _, size := range benchSizes {
			for _, group := range []int{1, batchMessagesMin - 1, batchMessagesMin, 100, 1000} {
				b.Run(fmt.Sprintf("synced=%v/%s/by_%d", !unsynced, size.name, group), func(b *testing.B) {
					c := benchConn(b, unsynced, 0, 0)
					out := make([]Outgoing, group)
					for i := range out {
						out[i] = Outgoing{Subject: EventSubject(0), Data: bytes.Repeat([]byte("x"), size.bytes)}
					}
					b.SetBytes(int64(size.bytes))
					b.ResetTimer()
					for n := 0; n < b.N; n += group {
						if _, err := c.Publish(context.Background(), out); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// BenchmarkParseDelivery is the part of reading that every message pays.
func BenchmarkParseDelivery(b *testing.B) {
	const reply = "$JS.ACK.USAGE-0.tollway-aGVsbG8gd29ybGQh.1.12345678.12345678.1795331548310350750.99999"
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := parseDelivery(reply); !ok {
			b.Fatal()
		}
	}
}

// BenchmarkHeaderGet is a lookup by name as producers write it and as they do
// not.
func BenchmarkHeaderGet(b *testing.B) {
	h := Header(nats.Header{"content-type": {"application/cloudevents+json"}, "Nats-Batch-Id": {"x"}, "Nats-Batch-Sequence": {"1"}})
	b.ReportAllocs()
	for b.Loop() {
		if h.Get("Content-Type") == "" || h.Get("content-type") == "" {
			b.Fatal()
		}
	}
}
