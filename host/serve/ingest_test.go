package serve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/intake"
	"github.com/tollway/tollway/host/serve"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

const partitions = 4

// served is a host with an embedded server that syncs every write, behind a real
// listener.
type served struct {
	t    testing.TB
	url  string
	nats *stream.EmbeddedConfig
	stop func() // ends it and waits
}

func startServed(t testing.TB) *served {
	t.Helper()
	dir := t.TempDir()
	s := &served{t: t, nats: &stream.EmbeddedConfig{StoreDir: filepath.Join(dir, "nats"), Partitions: partitions}}
	ctx, cancel := context.WithCancel(context.Background())
	config := serve.Config{
		Host: host.Config{DataDir: filepath.Join(dir, "data"), Partitions: partitions, NATS: stream.Config{Embedded: s.nats}, PluginCache: host.UserPluginCache(), Now: time.Now},
		RPC:  rpc.Config{Listen: "127.0.0.1:0"},
	}
	started, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- serve.Run(ctx, config, func(url string, _ *host.Host) error {
			started <- url
			return nil
		})
	}()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	select {
	case s.url = <-started:
	case err := <-done:
		t.Fatal(err)
	}
	return s
}

func (s *served) clients(url string) *rpc.Clients {
	s.t.Helper()
	c, err := rpc.NewClients(url, "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// log stops the host and returns where in the log each event is, by its id.
func (s *served) log() map[string][]string {
	s.t.Helper()
	s.stop()
	ctx := s.t.Context()
	conn, err := stream.Open(ctx, stream.Config{Embedded: s.nats})
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	all := map[string][]string{}
	for p := range partitions {
		err := conn.Each(ctx, stream.Usage(p), "", 0, func(m stream.Message) error {
			if m.Subject != stream.BatchSubject(p) {
				return nil
			}
			for _, e := range ingest.NewDecoder(1).Decode(m.Header.Get, m.Data, nil) {
				if e.Problem != nil {
					return e.Problem
				}
				all[strings.Clone(e.ID)] = append(all[strings.Clone(e.ID)], fmt.Sprintf("%s/%d", stream.Usage(p), m.Sequence))
			}
			return nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return all
}

func usageEvent(id string, account int) billing.UsageEvent {
	return billing.UsageEvent{
		Source: "/gateway/eu-1", ID: id, Type: "api.request", Account: billing.AccountID(fmt.Sprint("account-", account)),
		Time: time.Date(2026, 10, 5, 0, 0, 0, account, time.UTC),
		Data: []billing.Field{{Key: "calls", Text: "3"}, {Key: "region", Text: "eu-1"}},
	}
}

func wireEvent(e billing.UsageEvent) *tollwayv1.UsageEvent {
	data := map[string]string{}
	for _, f := range e.Data {
		data[f.Key] = f.Text
	}
	return &tollwayv1.UsageEvent{Id: e.ID, Source: e.Source, Type: e.Type, Subject: string(e.Account), Time: timestamppb.New(e.Time), Data: data}
}

// What any number of callers are told is what stands in the log: each event once,
// at the position told, whether it came alone, in a call or in a stream.
func TestToldIsWritten(t *testing.T) {
	t.Parallel()
	s := startServed(t)
	var mu sync.Mutex
	told := map[string]string{}
	tell := func(id, stream string, sequence uint64) {
		mu.Lock()
		defer mu.Unlock()
		told[id] = fmt.Sprintf("%s/%d", stream, sequence)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var group sync.WaitGroup
	for caller := range 6 {
		clients := s.clients(s.url)
		chance := rand.New(rand.NewPCG(1, uint64(caller)))
		batch := func(call int) (events []*tollwayv1.UsageEvent) {
			for i := range []int{1, 2, 300}[chance.IntN(3)] {
				events = append(events, wireEvent(usageEvent(fmt.Sprintf("%d.%d.%d", caller, call, i), chance.IntN(50))))
			}
			return events
		}
		if caller%2 == 0 {
			group.Go(func() {
				for call := range 40 {
					request := &tollwayv1.UsageServiceIngestRequest{Events: batch(call)}
					answer, err := clients.Usage.Ingest(ctx, request)
					if err != nil {
						t.Error(err)
						return
					}
					for i, r := range answer.GetResults() {
						tell(request.GetEvents()[i].GetId(), r.GetAccepted().GetStream(), r.GetAccepted().GetSequence())
					}
				}
			})
			continue
		}
		group.Go(func() {
			usage, err := clients.Usage.IngestStream(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			var sent [][]*tollwayv1.UsageEvent
			for call := range 40 {
				sent = append(sent, batch(call))
				if err := usage.Send(&tollwayv1.UsageServiceIngestStreamRequest{Events: sent[call]}); err != nil {
					t.Error(err)
					return
				}
			}
			if err := usage.CloseSend(); err != nil {
				t.Error(err)
			}
			for _, events := range sent {
				answer, err := usage.Receive()
				if err != nil {
					t.Error(err)
					return
				}
				o := answer.GetOutcome()
				for i := 0; i < len(o.GetPlaces()); i += 2 {
					at := o.GetPositions()[o.GetPlaces()[i+1]-1]
					for range o.GetPlaces()[i] {
						tell(events[0].GetId(), at.GetStream(), at.GetSequence())
						events = events[1:]
					}
				}
			}
			if _, err := usage.Receive(); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	log := s.log()
	for id, at := range told {
		if got := log[id]; !slices.Equal(got, []string{at}) {
			t.Fatalf("event %s was told to be at %s and is at %v", id, at, got)
		}
		delete(log, id)
	}
	if len(log) > 0 || len(told) == 0 {
		t.Errorf("%d events were told of; %v are in the log beside them", len(told), log)
	}
}

// cutter passes connections on and breaks each of them after some bytes.
type cutter struct {
	net.Listener
	target string
	group  sync.WaitGroup
	cuts   atomic.Int64
}

func startCutter(t *testing.T, url string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l, target: strings.TrimPrefix(url, "http://")}
	c.group.Go(c.accept)
	t.Cleanup(func() {
		_ = l.Close()
		c.group.Wait()
	})
	return c
}

func (c *cutter) accept() {
	chance := rand.New(rand.NewPCG(3, 4))
	for {
		client, err := c.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", c.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		c.cuts.Add(1)
		limit := 300_000 + chance.Int64N(1_000_000)
		c.group.Go(func() {
			_, _ = io.CopyN(server, client, limit)
			_ = client.Close()
			_ = server.Close()
		})
		c.group.Go(func() {
			_, _ = io.Copy(client, server)
			_ = client.Close()
		})
	}
}

// A sender whose connections break all the time loses nothing that it reports as
// accepted, and reports everything once.
func TestSenderThroughBrokenConnections(t *testing.T) {
	t.Parallel()
	s := startServed(t)
	cut := startCutter(t, s.url)
	clients := s.clients("http://" + cut.Addr().String())
	accepted := 0
	sender, err := clients.NewSender(t.Context(), func(sent rpc.Sent) {
		accepted += sent.Accepted
		for _, no := range sent.Rejected {
			t.Errorf("rejected: %+v", no)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	const events = 100_000
	for i := range events {
		e := usageEvent(fmt.Sprint(i), i%1000)
		if err := sender.Add(t.Context(), &e, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := sender.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	sender.Close()
	if accepted != events || cut.cuts.Load() < 3 {
		t.Errorf("%d of %d events are accepted, over %d connections", accepted, events, cut.cuts.Load())
	}
	if log := s.log(); len(log) != events {
		t.Errorf("%d events are in the log", len(log))
	}
}

// startTaking serves a log that takes usage and does nothing with it.
func startTaking(b *testing.B) *rpc.Clients {
	b.Helper()
	ctx := b.Context()
	conn, err := stream.Open(ctx, stream.Config{Embedded: &stream.EmbeddedConfig{StoreDir: b.TempDir(), Partitions: partitions}})
	if err != nil {
		b.Fatal(err)
	}
	if err := conn.EnsureStreams(ctx, partitions); err != nil {
		b.Fatal(err)
	}
	in := intake.New(conn, partitions, conn.MessageBytesMax())
	server, err := rpc.Listen(ctx, rpc.Config{Listen: "127.0.0.1:0"}, taking{in: in})
	if err != nil {
		b.Fatal(err)
	}
	clients, err := rpc.NewClients(server.URL(), "", nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	b.Cleanup(func() {
		clients.Close()
		cancel()
		err := <-done
		in.Close()
		if err := errors.Join(err, conn.Close()); err != nil {
			b.Error(err)
		}
	})
	return clients
}

// taking is an engine that takes usage in, and nothing else.
type taking struct {
	rpc.Engine
	in *intake.Intake
}

func (t taking) Partitions() int { return t.in.Partitions() }

func (t taking) Submit(ctx context.Context, chunk rpc.UsageChunk) (rpc.UsageTicket, error) {
	return serve.Submit(ctx, t.in.Add, chunk)
}

// cpu returns the processor time of this process so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIngest is usage through RPC into a synced log, both ends and the
// the NATS server in this process: with the Sender, by calls of 10,000 events,
// four at a time, and the time of a call with one event at low load. Nothing
// reads the log.
func BenchmarkIngest(b *testing.B) {
	report := func(b *testing.B, events int, before time.Duration) {
		b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
		b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(events), "cpu-ns/event")
	}
	all := make([]billing.UsageEvent, 100_000)
	for i := range all {
		all[i] = usageEvent(fmt.Sprintf("4fd1e6a0-%08d", i), i%10_000)
	}
	b.Run("sender", func(b *testing.B) {
		clients := startTaking(b)
		sender, err := clients.NewSender(b.Context(), func(rpc.Sent) {})
		if err != nil {
			b.Fatal(err)
		}
		defer sender.Close()
		b.ReportAllocs()
		before := cpu(b)
		b.ResetTimer()
		for i := range b.N {
			if err := sender.Add(b.Context(), &all[i%len(all)], 0); err != nil {
				b.Fatal(err)
			}
		}
		if err := sender.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		report(b, b.N, before)
	})
	b.Run("calls", func(b *testing.B) {
		clients := startTaking(b)
		request := &tollwayv1.UsageServiceIngestRequest{}
		for _, e := range all[:10_000] {
			request.Events = append(request.Events, wireEvent(e))
		}
		b.ReportAllocs()
		before := cpu(b)
		b.ResetTimer()
		b.SetParallelism(2)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if _, err := clients.Usage.Ingest(b.Context(), request); err != nil {
					b.Error(err)
				}
			}
		})
		report(b, b.N*10_000, before)
	})
	b.Run("one", func(b *testing.B) {
		clients := startTaking(b)
		took := make([]time.Duration, 0, b.N)
		for i := range b.N {
			request := &tollwayv1.UsageServiceIngestRequest{Events: []*tollwayv1.UsageEvent{wireEvent(all[i%len(all)])}}
			begin := time.Now()
			if _, err := clients.Usage.Ingest(b.Context(), request); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(begin))
			time.Sleep(time.Millisecond)
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	})
}
