package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"connectrpc.com/connect/v2/connectproto"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// drawSubtotals makes any answer that could be written.
func drawSubtotals(t *rapid.T) query.Subtotals {
	text := rapid.StringN(0, 40, 200)
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "missing") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-1e9, 4e9).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).UTC()
	})
	zone := time.FixedZone("somewhere", 5*3600+1800)
	periods := []billing.Period{
		{Start: time.Date(2026, 10, 1, 0, 0, 0, 0, zone), End: time.Date(2026, 11, 1, 0, 0, 0, 0, zone)},
		{Start: time.Date(1969, 12, 1, 0, 0, 0, 0, time.UTC), End: time.Unix(0, 0).UTC()},
	}
	line := rapid.Custom(func(t *rapid.T) query.Line {
		return query.Line{
			ID: text.Draw(t, "line"), Description: text.Draw(t, "description"), AmountText: text.Draw(t, "amount"),
			Quantity: billing.Quantity(billing.DecimalFromInt(rapid.Int64().Draw(t, "quantity"))),
		}
	})
	field := rapid.Custom(func(t *rapid.T) billing.Field {
		return billing.Field{Key: text.Draw(t, "key"), Text: text.Draw(t, "value")}
	})
	row := rapid.Custom(func(t *rapid.T) query.Subtotal {
		return query.Subtotal{
			Account: billing.AccountID(text.Draw(t, "account")), Subscription: text.Draw(t, "subscription"), Tariff: text.Draw(t, "tariff"),
			Meter: text.Draw(t, "meter"), Currency: billing.Currency(text.Draw(t, "currency")), Module: text.Draw(t, "module"),
			Version: instant.Draw(t, "version"), LastEventTime: instant.Draw(t, "last"), Period: rapid.SampledFrom(periods).Draw(t, "period"),
			Group: rapid.SliceOfNDistinct(field, 0, 3, func(f billing.Field) string { return f.Key }).Draw(t, "group"),
			Lines: rapid.SliceOfN(line, 0, 4).Draw(t, "lines"), AmountText: text.Draw(t, "sum"),
			Events: rapid.Uint64().Draw(t, "events"), Final: rapid.Bool().Draw(t, "final"),
		}
	})
	total := rapid.Custom(func(t *rapid.T) query.Total {
		return query.Total{Currency: billing.Currency(text.Draw(t, "currency")), AmountText: text.Draw(t, "total")}
	})
	position := rapid.Custom(func(t *rapid.T) query.Position {
		return query.Position{Stream: text.Draw(t, "stream"), Partition: rapid.IntRange(0, 100).Draw(t, "partition"), Sequence: rapid.Uint64().Draw(t, "sequence")}
	})
	return query.Subtotals{
		Subtotals: rapid.SliceOfN(row, 0, 5).Draw(t, "rows"), Moved: rapid.Bool().Draw(t, "moved"),
		Totals: rapid.SliceOfNDistinct(total, 0, 3, func(t query.Total) billing.Currency { return t.Currency }).Draw(t, "totals"),
		AsOf: query.AsOf{
			Positions: rapid.SliceOfN(position, 0, 4).Draw(t, "positions"), Watermark: instant.Draw(t, "watermark"),
			CatalogRevision: rapid.Uint64().Draw(t, "revision"),
		},
	}
}

// testBinary is the codec whose messages carry what is written.
var testBinary = binaryCodec{connectproto.NewBinaryCodec()}

// What is written by hand decodes to what the generated code would have written.
func TestWireIsWhatTheMessageWouldBe(t *testing.T) {
	same := func(t *rapid.T, written, message, empty proto.Message) {
		var b bytes.Buffer
		if err := testBinary.MarshalWrite(context.Background(), &b, written); err != nil {
			t.Fatal(err)
		}
		if err := (proto.UnmarshalOptions{DiscardUnknown: false}).Unmarshal(b.Bytes(), empty); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(empty, message) {
			t.Fatalf("written:\n%v\nthe message:\n%v", empty, message)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		answer := drawSubtotals(t)
		get := &tollwayv1.SubtotalServiceGetResponse{
			Account: "emma", Totals: totalsOut(answer.Totals), Subtotals: subtotalsOut(answer.Subtotals), AsOf: asOfOut(answer.AsOf), Final: allFinal(answer.Subtotals),
		}
		if len(answer.Subtotals) > 0 {
			get.Period = periodOut(answer.Subtotals[0].Period)
		}
		same(t, accountWire("emma", &answer), get, &tollwayv1.SubtotalServiceGetResponse{})
		same(t, listWire(&answer, "next"), &tollwayv1.SubtotalServiceListResponse{
			Subtotals: get.GetSubtotals(), Totals: get.GetTotals(), NextPageToken: "next", AsOf: get.GetAsOf(), Moved: answer.Moved,
		}, &tollwayv1.SubtotalServiceListResponse{})
		event := rapid.SampledFrom([]tollwayv1.WatchEvent{tollwayv1.WatchEvent_WATCH_EVENT_SNAPSHOT, tollwayv1.WatchEvent_WATCH_EVENT_HEARTBEAT}).Draw(t, "event")
		same(t, watchWire(event, &answer, "token"), watchAnswer(event, &answer, "token"), &tollwayv1.SubtotalServiceWatchResponse{})
	})
}

// An answer's memory is another's once it is encoded, and not before: answers that are
// written at one time do not meet.
func TestWireMemoryIsUsedAgain(t *testing.T) {
	t.Parallel()
	var group errgroup.Group
	for n := range 8 {
		group.Go(func() error {
			answer := query.Subtotals{AsOf: testAsOf, Subtotals: []query.Subtotal{subtotal("emma", "eu", fmt.Sprint(n))}}
			shared := bytes.Clone(watchRows(&answer))
			for range 500 {
				get, watch := accountWire("emma", &answer), watchWire(tollwayv1.WatchEvent_WATCH_EVENT_CHANGED, &answer, "token")
				want := bytes.Clone(get.ProtoReflect().GetUnknown())
				var b bytes.Buffer
				for _, m := range []proto.Message{watch, get} {
					b.Reset()
					if err := testBinary.MarshalWrite(t.Context(), &b, m); err != nil {
						return err
					}
					if len(m.ProtoReflect().GetUnknown()) > 0 {
						return errors.New("a message that was encoded still has its memory")
					}
				}
				if !bytes.Equal(b.Bytes(), want) {
					return fmt.Errorf("encoded %x, written was %x", b.Bytes(), want)
				}
				if told := answer.Encoded(query.EncodingBinary, watchRows); !bytes.Equal(told, shared) {
					return fmt.Errorf("what watches share is %x, was %x", told, shared)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	kept := takeWire(1)
	message := carry(&tollwayv1.SubtotalServiceGetResponse{}, append(kept, make([]byte, wireKeptMax+1)...))
	giveWire(message)
	if len(message.ProtoReflect().GetUnknown()) == 0 {
		t.Error("the memory of a large answer is kept")
	}
}

// What is made JSON of once for many is what the codec makes of the message.
func TestWatchTextIsWhatTheCodecWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		answer := drawSubtotals(t)
		event := rapid.SampledFrom([]tollwayv1.WatchEvent{
			tollwayv1.WatchEvent_WATCH_EVENT_SNAPSHOT_PART, tollwayv1.WatchEvent_WATCH_EVENT_SNAPSHOT,
			tollwayv1.WatchEvent_WATCH_EVENT_CHANGED, tollwayv1.WatchEvent_WATCH_EVENT_HEARTBEAT,
		}).Draw(t, "event")
		resume := rapid.StringMatching(`[A-Za-z0-9_-]{0,40}`).Draw(t, "resume")
		codec, message := newJSONCodec(), watchText(context.Background(), event, &answer, resume)
		var got, want bytes.Buffer
		if message == nil {
			t.Fatal("the codec writes otherwise than is known")
		}
		if err := codec.MarshalWrite(context.Background(), &got, message); err != nil {
			t.Fatal(err)
		}
		if err := codec.MarshalWrite(context.Background(), &want, watchAnswer(event, &answer, resume)); err != nil {
			t.Fatal(err)
		}
		if got.String() != want.String() {
			t.Fatalf("written once:\n%s\nthe codec:\n%s", &got, &want)
		}
	})
}

// An answer is written in a few pieces of memory, however many subtotals it has.
func TestWireAllocations(t *testing.T) {
	answer := query.Subtotals{AsOf: testAsOf, Totals: []query.Total{{Currency: "EUR", AmountText: "100.50"}}}
	for range 100 {
		answer.Subtotals = append(answer.Subtotals, subtotal("emma", "eu", "100.00"))
	}
	const most = 25 // the tokens of the positions, and what the race detector adds
	if n := testing.AllocsPerRun(20, func() { accountWire("emma", &answer) }); n > most {
		t.Errorf("%v allocations for an answer of %d subtotals, at most %d are meant", n, len(answer.Subtotals), most)
	}
}
