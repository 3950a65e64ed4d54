package ingest_test

import (
	"errors"
	"math/big"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/tollway/tollway/host/ingest"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

func header(name string) string {
	if name == "content-type" {
		return ingest.ContentTypePacked
	}
	return ""
}

// asGenerated reads a batch by way of the generated code, in the plainest way. It leaves out events that are not well
// formed, and hands back their places.
func asGenerated(batch *tollwayv1.UsageBatch) (events map[int]billing.UsageEvent, bad map[int]bool) {
	events, bad = map[int]billing.UsageEvent{}, map[int]bool{}
	words := batch.GetStrings()
	if len(words) == 0 {
		words = []string{""}
	}
	for i, e := range batch.GetEvents() {
		ok := len(e.GetText())%2 == 0 && len(e.GetNumber())%3 == 0
		word := func(index int64) string {
			if index < 0 || index >= int64(len(words)) {
				ok = false
				return ""
			}
			return words[index]
		}
		nanos := new(big.Int).Add(big.NewInt(batch.GetBaseTimeUnixNano()), big.NewInt(e.GetTimeDeltaNano()))
		ok = ok && nanos.IsInt64()
		u := billing.UsageEvent{
			Source: word(int64(e.GetSource())), ID: e.GetId(), Type: word(int64(e.GetType())),
			Account: billing.AccountID(word(int64(e.GetAccount()))), Time: time.Unix(0, nanos.Int64()).UTC(),
		}
		for t := e.GetText(); len(t) >= 2; t = t[2:] {
			u.Data = append(u.Data, billing.Field{Key: word(int64(t[0])), Text: word(int64(t[1]))})
		}
		for n := e.GetNumber(); len(n) >= 3; n = n[3:] {
			d, err := billing.ParseDecimal(strconv.FormatInt(n[2], 10) + "e" + strconv.FormatInt(-n[1], 10))
			if err != nil {
				ok = false
			}
			u.Data = append(u.Data, billing.Field{Key: word(n[0]), Text: d.String()})
		}
		if !ok || ingest.Validate(&u) != nil {
			bad[i] = true
			continue
		}
		events[i] = u
	}
	return events, bad
}

// compare decodes a body in both ways and holds the results against each other.
func compare(t interface{ Fatalf(string, ...any) }, body []byte) {
	events := ingest.NewDecoder(1).Decode(header, body, nil)
	var batch tollwayv1.UsageBatch
	if err := proto.Unmarshal(body, &batch); err != nil {
		for _, e := range events {
			if e.Problem != nil {
				return
			}
		}
		t.Fatalf("protobuf refuses what was decoded: %v", err)
	}
	if len(events) == 1 && events[0].Problem != nil && len(batch.GetEvents()) != 1 {
		return // refused as a whole, for a limit or the first string
	}
	if len(events) != len(batch.GetEvents()) {
		t.Fatalf("%d events, protobuf has %d", len(events), len(batch.GetEvents()))
	}
	want, bad := asGenerated(&batch)
	for i, e := range events {
		if e.Problem != nil {
			whole := e.Problem.Reason == ingest.ReasonUndecodableMessage
			number := e.Problem.Reason == ingest.ReasonBadData // Decimals have other bounds than canonical numbers
			if !bad[i] && !whole && !number {
				t.Fatalf("event %d: %v", i, e.Problem)
			}
			continue
		}
		u, ok := want[i]
		if !ok {
			continue // a number that is no Decimal; what its text must be, the tests of numbers say
		}
		got := e.Usage()
		if diff := cmp.Diff(byKey(u.Data), byKey(got.Data)); diff != "" {
			t.Fatalf("event %d: %s", i, diff)
		}
		u.Data, got.Data = nil, nil
		if diff := cmp.Diff(u, got); diff != "" {
			t.Fatalf("event %d: %s", i, diff)
		}
	}
}

func byKey(fields []billing.Field) map[string]string {
	m := map[string]string{}
	for _, f := range fields {
		m[f.Key] = f.Text
	}
	return m
}

// TestPackedEqualsGenerated: whatever batch the generated code writes, both read the same.
func TestPackedEqualsGenerated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batch := &tollwayv1.UsageBatch{
			Strings:          append([]string{""}, rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "calls", "ä", ""}), 0, 6).Draw(t, "strings")...),
			BaseTimeUnixNano: rapid.Int64().Draw(t, "base"),
		}
		word := rapid.Uint32Range(0, uint32(len(batch.Strings)))
		for range rapid.IntRange(0, 4).Draw(t, "events") {
			e := &tollwayv1.PackedEvent{
				Source: word.Draw(t, "source"), Id: rapid.SampledFrom([]string{"i", "j", ""}).Draw(t, "id"),
				Type: word.Draw(t, "type"), Account: word.Draw(t, "account"), TimeDeltaNano: rapid.Int64().Draw(t, "delta"),
				Text: rapid.SliceOfN(word, 0, 5).Draw(t, "text"),
			}
			for range rapid.IntRange(0, 3).Draw(t, "numbers") {
				e.Number = append(e.Number, int64(word.Draw(t, "key")), rapid.Int64Range(-5, 18).Draw(t, "scale"), rapid.Int64().Draw(t, "unscaled"))
			}
			batch.Events = append(batch.Events, e)
		}
		body, err := proto.Marshal(batch)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, body)
	})
}

// TestPackedReadByGenerated: the generated code reads what a Packer writes.
func TestPackedReadByGenerated(t *testing.T) {
	events := []billing.UsageEvent{
		{Source: "s", ID: "1", Type: "t", Account: "a", Time: time.Unix(1, 5).UTC(), Data: []billing.Field{{Key: "a", Text: "1.50"}, {Key: "n", Text: "-1.5"}}},
		{Source: "s", ID: "2", Type: "t", Account: "b", Time: time.Unix(0, 7).UTC(), Data: []billing.Field{{Key: "", Text: ""}, {Key: "n", Text: "1000000"}}},
	}
	body, err := ingest.Pack(nil, events)
	if err != nil {
		t.Fatal(err)
	}
	var batch tollwayv1.UsageBatch
	if err := proto.Unmarshal(body, &batch); err != nil {
		t.Fatal(err)
	}
	if unknown := batch.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		t.Errorf("fields that the proto file does not have: %x", unknown)
	}
	got, bad := asGenerated(&batch)
	if diff := cmp.Diff(map[int]billing.UsageEvent{0: events[0], 1: events[1]}, got); diff != "" || len(bad) > 0 {
		t.Errorf("%v %s", bad, diff)
	}
	if again, err := proto.Marshal(&batch); err != nil || !cmp.Equal(again, body) {
		t.Error(errors.Join(err, errors.New("the generated code writes it another way")))
	}
}

func FuzzPackedEqualsGenerated(f *testing.F) {
	body, err := ingest.Pack(nil, []billing.UsageEvent{
		{Source: "s", ID: "1", Type: "t", Account: "a", Time: time.Unix(1, 5), Data: []billing.Field{{Key: "n", Text: "-1.5"}, {Key: "x", Text: "1.50"}}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add(append(body, "\x1a\x10\x08\x01\x12\x01i\x18\x02 \x03*\x01\x02:\x03\x08\x00\x02"...))
	f.Fuzz(func(t *testing.T, body []byte) { compare(t, body) })
}
