package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// What the engine says of the events that it got, and the events that it did
// not get, come together in the order of the request.
func TestInsertedRejections(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []string // of each event: position or reason
		var o UsageOutcome
		var refused []UsageRejection
		given := 0
		for i := range rapid.IntRange(0, 30).Draw(t, "events") {
			switch kind := rapid.IntRange(0, 3).Draw(t, "kind"); kind {
			case 0:
				refused = append(refused, UsageRejection{Event: i, Reason: fmt.Sprint("refused ", i)})
				want = append(want, fmt.Sprint("refused ", i))
				continue
			case 1:
				o.Rejected = append(o.Rejected, UsageRejection{Event: given, Reason: fmt.Sprint("rejected ", i)})
				want = append(want, fmt.Sprint("rejected ", i))
				kind = -1
				fallthrough
			default:
				if kind >= 0 {
					want = append(want, fmt.Sprint(kind))
				}
				if n := len(o.Runs); n > 0 && o.Runs[n-1].Position == kind {
					o.Runs[n-1].Events++
				} else {
					o.Runs = append(o.Runs, UsageRun{1, kind})
				}
			}
			given++
		}
		o.insert(refused)
		var got []string
		rejected := o.Rejected
		for _, run := range o.Runs {
			for range run.Events {
				if run.Position >= 0 {
					got = append(got, fmt.Sprint(run.Position))
					continue
				}
				if rejected[0].Event != len(got) {
					t.Fatalf("event %d is rejected, and the next rejection is of %d", len(got), rejected[0].Event)
				}
				got, rejected = append(got, rejected[0].Reason), rejected[1:]
			}
		}
		if !slices.Equal(got, want) || len(rejected) > 0 {
			t.Fatalf("got %v, want %v; %v left", got, want, rejected)
		}
	})
}

// unstored is an outcome of four events of which two in the middle are not known
// to be stored and the last is rejected.
func unstored() UsageOutcome {
	return UsageOutcome{
		Positions: []query.Position{{Stream: "USAGE-0", Sequence: 7}, {Stream: "USAGE-1", Partition: 1}},
		Runs:      []UsageRun{{1, 0}, {2, 1}, {1, -1}},
		Rejected:  []UsageRejection{{3, "bad_data", "data: is bad"}}, Cause: errors.New("the disk is away"),
	}
}

// A caller is told which of its events are not known to be in the log, with a
// code that says that it may try again.
func TestUnconfirmedEvents(t *testing.T) {
	engine := bill()
	engine.submit = func(context.Context, UsageChunk) (UsageTicket, error) { return fakeTicket{outcome: unstored()}, nil }
	_, clients := serve(t, engine, nil)
	request := &tollwayv1.UsageServiceIngestRequest{}
	for range 4 {
		request.Events = append(request.Events, &tollwayv1.UsageEvent{Time: timestamppb.Now()})
	}
	_, err := clients.Usage.Ingest(t.Context(), request)
	coded, ok := errors.AsType[*connect.Error](err)
	if !ok || coded.Code() != connect.CodeUnavailable || reason(clients, err) != ReasonUnavailable || !strings.Contains(err.Error(), "the disk is away") {
		t.Fatal(err)
	}
	found := false
	for _, d := range coded.Details() {
		m, err := connectproto.UnmarshalErrorDetail(d)
		if err != nil {
			t.Fatal(err)
		}
		if u, ok := m.(*tollwayv1.UnconfirmedEvents); ok {
			found = len(u.GetRanges()) == 1 && u.GetRanges()[0].GetFirst() == 1 && u.GetRanges()[0].GetEvents() == 2
		}
	}
	if !found {
		t.Errorf("the details are %v", coded.Details())
	}
}

// The compact form of an answer, in JSON as a browser has it.
func TestCompactOutcome(t *testing.T) {
	engine := bill()
	engine.submit = func(_ context.Context, c UsageChunk) (UsageTicket, error) {
		o := unstored()
		o.Positions[1].Sequence, o.Cause = 9, nil
		if len(c.Bodies) != 1 || c.Bodies[0].ContentType != "application/cloudevents-batch+json" || string(c.Bodies[0].Data) != "[]" {
			t.Errorf("the engine got %+v", c)
		}
		return fakeTicket{outcome: o}, nil
	}
	server, _ := serve(t, engine, nil)
	status, answer := call(t, server.URL()+"/tollway.v1.UsageService/Ingest", `{"bodies":[{"content_type":"application/cloudevents-batch+json","data":"W10="}]}`, nil)
	for _, part := range []string{`"places":[1,1,2,2,1,0]`, `"unconfirmed":[]`, `"accepted":3,"rejected":1`, `"event":3`, `"reason":"bad_data"`} {
		if !strings.Contains(strings.ReplaceAll(answer, ", ", ","), part) || status != 200 {
			t.Errorf("%d %s does not say %s", status, answer, part)
		}
	}
}

// A stream takes no more chunks than its terms say before the first is answered,
// answers in order, and answers all that it took when the server stops.
func TestIngestStream(t *testing.T) {
	ready := make(chan struct{})
	engine := bill()
	taken := make(chan int, 100)
	engine.submit = func(_ context.Context, c UsageChunk) (UsageTicket, error) {
		if len(c.Events) == 0 {
			return fakeTicket{}, nil
		}
		taken <- len(c.Events)
		return fakeTicket{ready: ready, outcome: UsageOutcome{
			Positions: []query.Position{{Stream: "USAGE-0", Sequence: uint64(len(c.Events))}}, Runs: []UsageRun{{len(c.Events), 0}},
		}}, nil
	}
	config := DefaultConfig()
	config.Listen = "127.0.0.1:0"
	server, err := Listen(t.Context(), config, engine)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	clients, err := NewClients(server.URL(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	stream, err := clients.Usage.IngestStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&tollwayv1.UsageServiceIngestStreamRequest{}); err != nil {
		t.Fatal(err)
	}
	first, err := stream.Receive()
	if err != nil || first.GetChunk() != 1 || first.GetTerms().GetPartitions() != 2 || first.GetTerms().GetOutstandingMax() != outstandingMax {
		t.Fatal(first, err)
	}
	for n := range outstandingMax + 5 {
		request := &tollwayv1.UsageServiceIngestStreamRequest{}
		for range n + 1 {
			request.Events = append(request.Events, &tollwayv1.UsageEvent{Time: timestamppb.Now()})
		}
		if err := stream.Send(request); err != nil {
			t.Fatal(err)
		}
	}
	for range outstandingMax {
		<-taken
	}
	select {
	case n := <-taken:
		t.Errorf("chunk %d was taken before the first was answered", n)
	case <-time.After(100 * time.Millisecond):
	}
	stop()
	close(ready)
	answered := 0
	for {
		answer, err := stream.Receive()
		if err != nil {
			if reason(clients, err) != ReasonShuttingDown {
				t.Errorf("the stream ended with %v", err)
			}
			break
		}
		answered++
		if answer.GetChunk() != uint64(answered+1) || int(answer.GetOutcome().GetAccepted()) != answered || answer.GetTerms() != nil {
			t.Errorf("answer %d is %v", answered, answer)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if all := outstandingMax + len(taken); answered != all {
		t.Errorf("%d chunks were answered of %d", answered, all)
	}
}

// A chunk that cannot be is refused, and those before it are answered.
func TestIngestStreamRefuses(t *testing.T) {
	_, clients := serve(t, bill(), nil)
	stream, err := clients.Usage.IngestStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := timestamppb.New(time.Date(2026, 10, 3, 4, 5, 6, 7, time.UTC))
	for _, n := range []int{3, ingestEventsMax + 1} {
		request := &tollwayv1.UsageServiceIngestStreamRequest{}
		for range n {
			request.Events = append(request.Events, &tollwayv1.UsageEvent{Id: "1", Source: "s", Type: "t", Subject: "emma", Time: at})
		}
		if err := stream.Send(request); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	if answer, err := stream.Receive(); err != nil || answer.GetOutcome().GetAccepted() != 3 {
		t.Error(answer, err)
	}
	if _, err := stream.Receive(); reason(clients, err) != ReasonInvalidRequest {
		t.Error(err)
	}
}

// memoryEngine keeps the ids of packed events. Each call of turn says what is to
// become of the next chunk.
func memoryEngine(t *testing.T, ids map[string]int, turn func() (lose bool, err error)) *fakeEngine {
	engine := bill()
	engine.submit = func(_ context.Context, c UsageChunk) (UsageTicket, error) {
		var o UsageOutcome
		for i, b := range c.Bodies {
			lose, err := turn()
			if err != nil {
				return nil, err
			}
			events := ingest.NewDecoder(1).Decode(func(string) string { return b.ContentType }, b.Data, nil)
			at := query.Position{Stream: "USAGE-0", Sequence: uint64(len(ids) + 1)}
			if lose {
				at.Sequence, o.Cause = 0, errors.New("away")
			}
			for _, e := range events {
				if e.Problem != nil {
					t.Error(e.Problem)
				}
				if !lose {
					ids[strings.Clone(e.ID)]++
				}
			}
			o.Positions, o.Runs = append(o.Positions, at), append(o.Runs, UsageRun{len(events), i})
		}
		return fakeTicket{outcome: o}, nil
	}
	return engine
}

// A Sender reports each event once, whatever the log loses and however often the
// stream breaks, and what it reports as accepted is there.
func TestSender(t *testing.T) {
	ids := map[string]int{}
	turns := 0
	engine := memoryEngine(t, ids, func() (bool, error) {
		turns++
		switch {
		case turns%41 == 0:
			return false, refuse(ReasonUnavailable, "", "broken")
		default:
			return turns%5 == 0, nil
		}
	})
	_, clients := serve(t, engine, nil)
	accepted := 0
	var rejected []string
	s, err := clients.NewSender(t.Context(), func(sent Sent) {
		accepted += sent.Accepted
		for _, no := range sent.Rejected {
			rejected = append(rejected, fmt.Sprint(no.Tag, no.Reason))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const events = 20_000
	for i := range events {
		e := billing.UsageEvent{
			Source: "s", ID: fmt.Sprint(i), Type: "t", Account: billing.AccountID(fmt.Sprint("account-", i%97)),
			Time: time.Date(2026, 10, 3, 4, 5, 6, 7, time.UTC), Data: []billing.Field{{Key: "calls", Text: "1"}},
		}
		if i == 4711 {
			e.Type = ""
		}
		if err := s.Add(t.Context(), &e, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if accepted != events-1 || len(ids) != events-1 || !slices.Equal(rejected, []string{"4711missing_attribute"}) {
		t.Errorf("%d accepted, %d there, rejected %v; %d bodies", accepted, len(ids), rejected, turns)
	}
	if len(s.Reached()) == 0 {
		t.Error("no position was reached")
	}
}

// A Sender gives up at once where trying again is of no use.
func TestSenderGivesUp(t *testing.T) {
	engine := memoryEngine(t, map[string]int{}, func() (bool, error) { return false, refuse(ReasonInvalidRequest, "", "never") })
	_, clients := serve(t, engine, nil)
	s, err := clients.NewSender(t.Context(), func(Sent) {})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	e := billing.UsageEvent{Source: "s", ID: "1", Type: "t", Account: "emma", Time: time.Date(2026, 10, 3, 4, 5, 6, 7, time.UTC)}
	if err := s.Add(t.Context(), &e, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); reason(clients, err) != ReasonInvalidRequest {
		t.Error(err)
	}
}
