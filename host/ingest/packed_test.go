package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
)

// wire builds protobuf by hand, in ways a Packer never would.
type wire []byte

func (w wire) bytes(number protowire.Number, b []byte) wire {
	return protowire.AppendBytes(protowire.AppendTag(w, number, protowire.BytesType), b)
}

func (w wire) text(number protowire.Number, s string) wire { return w.bytes(number, []byte(s)) }

func (w wire) uint(number protowire.Number, v uint64) wire {
	return protowire.AppendVarint(protowire.AppendTag(w, number, protowire.VarintType), v)
}

func (w wire) sint(number protowire.Number, v int64) wire {
	return w.uint(number, protowire.EncodeZigZag(v))
}

func packed(values ...uint64) []byte {
	var b []byte
	for _, v := range values {
		b = protowire.AppendVarint(b, v)
	}
	return b
}

func zigzag(values ...int64) []byte {
	var b []byte
	for _, v := range values {
		b = protowire.AppendVarint(b, protowire.EncodeZigZag(v))
	}
	return b
}

// dictionary is the strings of the batches below, by their places.
func dictionary(w wire) wire {
	for _, s := range []string{"", "gate/7", "api.request", "emma", "calls", "region", "eu", "free", "false", "calls"} {
		w = w.text(1, s)
	}
	return w
}

func decodePacked(body []byte) []Event {
	return NewDecoder(1).Decode(contentType(ContentTypePacked), body, nil)
}

func TestPackedWireVariants(t *testing.T) {
	at := goodEvent.Time.UnixNano()
	plain := wire{}.uint(1, 1).text(2, "e1").uint(3, 2).uint(4, 3).sint(5, 500_000_000).
		bytes(6, packed(5, 6, 7, 8)).bytes(7, zigzag(4, 1, 15))
	want := decodePacked(dictionary(nil).sint(2, at-500_000_000).bytes(3, plain))
	if want[0].Problem != nil {
		t.Fatal(want[0].Problem)
	}
	if diff := cmp.Diff(goodEvent, want[0].Usage()); diff != "" {
		t.Fatal(diff)
	}
	single := NewDecoder(1).Decode(contentType(""), []byte(goodJSON), nil)
	if diff := cmp.Diff(single, want); diff != "" {
		t.Fatal(diff)
	}
	unpacked := wire{}.uint(7, protowire.EncodeZigZag(4)).uint(6, 5).uint(6, 6).uint(7, protowire.EncodeZigZag(1)).uint(6, 7).uint(6, 8).
		uint(7, protowire.EncodeZigZag(15)).sint(5, 500_000_000).uint(4, 3).uint(3, 2).text(2, "e1").uint(1, 1)
	chunks := wire{}.uint(1, 9).uint(1, 1).text(2, "gone").text(2, "e1").uint(3, 1<<32|2).uint(4, 3).sint(5, 7).sint(5, 500_000_000).
		bytes(6, packed(5)).bytes(6, packed(6, 7)).uint(6, 8).bytes(6, nil).bytes(7, zigzag(9, 3, 1500))
	unknown := wire{}.uint(99, 1).text(98, "x").bytes(1, []byte("another type")).uint(2, 7).text(5, "y")
	unknown = protowire.AppendTag(unknown, 97, protowire.StartGroupType)
	unknown = protowire.AppendTag(unknown.uint(1, 2), 97, protowire.EndGroupType)
	unknown = protowire.AppendFixed64(protowire.AppendTag(unknown, 96, protowire.Fixed64Type), 1)
	for name, body := range map[string][]byte{
		"events first":             dictionary(wire{}.bytes(3, plain).sint(2, at-500_000_000)),
		"base time twice":          dictionary(wire{}.sint(2, 3).bytes(3, plain).sint(2, at-500_000_000)),
		"unpacked, reversed":       dictionary(nil).sint(2, at-500_000_000).bytes(3, unpacked),
		"chunks and last wins":     dictionary(nil).sint(2, at-500_000_000).bytes(3, chunks),
		"unknown event fields":     dictionary(nil).sint(2, at-500_000_000).bytes(3, append(append(wire{}, unknown...), plain...)),
		"unknown batch fields":     dictionary(wire{}.uint(99, 1)).sint(2, at-500_000_000).bytes(3, plain).text(2, "x").uint(3, 4).uint(1, 4),
		"no delta":                 dictionary(nil).sint(2, at).bytes(3, append(append(wire{}, plain...), wire{}.sint(5, 0)...)),
		"base far off, delta back": dictionary(nil).sint(2, at+1e18).bytes(3, append(append(wire{}, plain...), wire{}.sint(5, -1e18)...)),
	} {
		if diff := cmp.Diff(want, decodePacked(body)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if events := decodePacked(nil); len(events) != 0 {
		t.Errorf("an empty batch: %+v", events)
	}
}

func TestPackedProblems(t *testing.T) {
	good := wire{}.uint(1, 1).text(2, "e1").uint(3, 2).uint(4, 3)
	with := func(more wire) []byte {
		return dictionary(nil).sint(2, 1).bytes(3, good).bytes(3, append(append(wire{}, good...), more...)).bytes(3, good)
	}
	for name, c := range map[string]struct {
		body []byte
		want string // of the second of three events, or of the whole message
	}{
		"cut":             {dictionary(nil).bytes(3, good)[:len(dictionary(nil))+5], "undecodable_message: message: the packed batch is broken at byte 68"},
		"not protobuf":    {[]byte("hello"), "undecodable_message: message: the packed batch is broken at byte 2"},
		"base cut":        {[]byte{2 << 3, 0x80}, "undecodable_message: message: the packed batch is broken at byte 0"},
		"tag cut":         {[]byte{0x80}, "undecodable_message: message: the packed batch is broken at byte 0"},
		"first string":    {wire{}.text(1, "x"), "undecodable_message: message: string 0 of the batch must be empty"},
		"string not text": {dictionary(nil).text(1, "\xff"), "undecodable_message: message: string 10 of the batch is not valid UTF-8"},
		"events":          {[]byte(strings.Repeat("\x1a\x00", MessageEventsMax+1)), "too_many_events: message: holds more than 10000 events"},
		"strings":         {[]byte(strings.Repeat("\x0a\x00", BatchStringsMax+1)), "undecodable_message: message: the batch has more than 262144 strings"},
		"event cut":       {with(wire{1 << 3}), "undecodable_event: event: its packed form is broken"},
		"event tag":       {with(wire{0x80}), "undecodable_event: event: its packed form is broken"},
		"field 0":         {with(wire{0, 1}), "undecodable_event: event: its packed form is broken"},
		"id cut":          {with(wire{2<<3 | 2, 9, 'x'}), "undecodable_event: event: its packed form is broken"},
		"text cut":        {with(wire{6<<3 | 2, 1, 0x80}), "undecodable_event: event: its packed form is broken"},
		"text length":     {with(wire{6<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}), "undecodable_event: event: its packed form is broken"},
		"varint too long": {with(wire{1 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}), "undecodable_event: event: its packed form is broken"},
		"id not text":     {with(wire{}.text(2, "\xff")), "undecodable_event: event: its id is not valid UTF-8"},
		"no id":           {with(wire{}.text(2, "")), "missing_attribute: id: is missing"},
		"long id":         {with(wire{}.text(2, strings.Repeat("x", 513))), "bad_attribute: id: is 513 bytes long, at most 512 are allowed"},
		"no source":       {with(wire{}.uint(1, 0)), "missing_attribute: source: is missing"},
		"source beyond":   {with(wire{}.uint(1, 10)), "undecodable_event: event: source is string 10, the batch has 10"},
		"account beyond":  {with(wire{}.uint(4, 1<<31)), "undecodable_event: event: subject is string 2147483648, the batch has 10"},
		"no account":      {with(wire{}.uint(4, 0)), "missing_attribute: subject: is missing"},
		"time overflow":   {with(wire{}.sint(5, 1<<63-1)), "bad_time: time: base 1 and delta 9223372036854775807 nanoseconds lie outside the years 1700 to 2261"},
		"time too early":  {with(wire{}.sint(5, -1<<63)), "bad_time: time: base 1 and delta -9223372036854775808 nanoseconds lie outside the years 1700 to 2261"},
		"odd text":        {with(wire{}.bytes(6, packed(5))), "undecodable_event: event: text must be pairs and number must be triples"},
		"odd numbers":     {with(wire{}.bytes(7, zigzag(5, 1))), "undecodable_event: event: text must be pairs and number must be triples"},
		"key beyond":      {with(wire{}.bytes(6, packed(10, 6))), "undecodable_event: event: its data names string 10, the batch has 10"},
		"value beyond":    {with(wire{}.bytes(6, packed(5, 11))), "undecodable_event: event: its data names string 11, the batch has 10"},
		"number key":      {with(wire{}.bytes(7, zigzag(-1, 0, 1))), "undecodable_event: event: its data names string -1, the batch has 10"},
		"number key high": {with(wire{}.bytes(7, zigzag(1<<32, 0, 1))), "undecodable_event: event: its data names string 4294967296, the batch has 10"},
		"scale":           {with(wire{}.bytes(7, zigzag(4, 1000001, 1))), "bad_data: data: a number has the scale 1000001, beyond 1000000"},
		"twice":           {with(wire{}.bytes(6, packed(5, 6, 5, 6))), `bad_data: data: field "region" is there twice`},
		"twice, two ways": {with(wire{}.bytes(6, packed(4, 6)).bytes(7, zigzag(9, 0, 1))), `bad_data: data: field "calls" is there twice`},
		"fields":          {with(wire{}.bytes(7, make([]byte, 3*257))), "bad_data: data: has 257 fields, at most 256 are allowed"},
	} {
		events := decodePacked(c.body)
		e := events[0]
		if len(events) == 3 {
			e = events[1]
			if events[0].Problem != nil || events[2].Problem != nil {
				t.Errorf("%s: the events beside it: %v, %v", name, events[0].Problem, events[2].Problem)
			}
		} else if len(events) != 1 {
			t.Errorf("%s: %d events", name, len(events))
		}
		if e.Problem == nil || e.Problem.Reason+": "+e.Problem.Detail != c.want {
			t.Errorf("%s:\n got %+v\nwant %s", name, e.Problem, c.want)
		}
	}
}

func TestPackerSplits(t *testing.T) {
	events := make([]billing.UsageEvent, 500)
	for i := range events {
		events[i] = billing.UsageEvent{
			Source: fmt.Sprintf("source-%d", i%3), ID: fmt.Sprintf("id-%d", i), Type: "t", Account: "a",
			Time: goodEvent.Time.Add(time.Duration(i*i) * time.Millisecond),
			Data: []billing.Field{{Key: "n", Text: fmt.Sprint(i)}, {Key: "resource", Text: strings.Repeat("r", i%50)}},
		}
	}
	const bytesMax = 1000
	p := NewPacker(bytesMax)
	var bodies [][]byte
	for i := range events {
		err := p.Add(&events[i])
		if errors.Is(err, ErrFull) {
			size := p.Size()
			body := p.AppendMessage(nil)
			if len(body) != size || size > bytesMax || size < bytesMax/2 {
				t.Fatalf("a message of %d bytes, announced as %d, allowed %d", len(body), size, bytesMax)
			}
			bodies = append(bodies, body)
			err = p.Add(&events[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	bodies = append(bodies, p.AppendMessage(nil))
	if p.Len() != 0 || len(p.AppendMessage(nil)) != 0 {
		t.Error("the packer is not empty after its message was taken")
	}
	var got []billing.UsageEvent
	for _, body := range bodies {
		for _, e := range decodePacked(body) {
			if e.Problem != nil {
				t.Fatal(e.Problem)
			}
			got = append(got, e.Usage())
		}
	}
	if diff := cmp.Diff(events, got); diff != "" {
		t.Error(diff)
	}
}

func TestPackerRefusals(t *testing.T) {
	p := NewPacker(100)
	small := billing.UsageEvent{Source: "s", ID: "1", Type: "t", Account: "a", Time: goodEvent.Time}
	if err := p.Add(&small); err != nil {
		t.Fatal(err)
	}
	before := p.Size()
	large := small
	large.Data = []billing.Field{{Key: "k", Text: strings.Repeat("x", 200)}}
	bad := small
	bad.ID = ""
	var problem *Problem
	if err := p.Add(&large); !errors.Is(err, ErrFull) {
		t.Errorf("beside another: %v", err)
	}
	if err := p.Add(&bad); !errors.As(err, &problem) || problem.Reason != ReasonMissingAttribute {
		t.Errorf("without id: %v", err)
	}
	early, late := small, small
	early.Time, late.Time = time.Unix(timeMinUnix, 0), time.Unix(timeEndUnix, -1)
	if p.Size() != before || p.Len() != 1 {
		t.Errorf("%d events in %d bytes after refusals, were 1 in %d", p.Len(), p.Size(), before)
	}
	if events := decodePacked(p.AppendMessage(nil)); len(events) != 1 || events[0].Problem != nil {
		t.Errorf("%+v", events)
	}
	const alone = `event "1" of "s" takes 242 bytes packed, a message has at most 100`
	if err := p.Add(&large); err == nil || err.Error() != alone {
		t.Errorf("alone: %v, want %s", err, alone)
	}
	if err := p.Add(&early); err != nil {
		t.Fatal(err)
	}
	if err := p.Add(&late); !errors.Is(err, ErrFull) {
		t.Errorf("centuries apart: %v", err)
	}
	if _, err := Pack(nil, []billing.UsageEvent{small, bad}); err == nil || err.Error() != "event 1: id: is missing" {
		t.Errorf("Pack: %v", err)
	}
	if _, err := Pack(nil, make([]billing.UsageEvent, 0)); err != nil {
		t.Errorf("Pack of nothing: %v", err)
	}
}

// TestDictionary holds the packer's table against a map.
func TestDictionary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := NewPacker(0)
		table := &p.dictionary
		words := []string{""}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				table.reset()
				words = words[:1]
			case 1, 2:
				words = words[:rapid.IntRange(1, len(words)).Draw(t, "keep")]
				table.shorten(len(words))
			default:
				first := rapid.IntRange(0, 500).Draw(t, "first")
				for n := first; n < first+rapid.IntRange(1, 40).Draw(t, "several"); n++ {
					word := strconv.Itoa(n)
					want := slices.Index(words, word)
					if want < 0 {
						want = len(words)
						words = append(words, word)
					}
					if got := table.intern(word); int(got) != want || !table.is(got, word) || table.is(got, word+"x") {
						t.Fatalf("%q is string %d, want %d", word, got, want)
					}
				}
			}
			if table.len() != len(words) {
				t.Fatalf("%d strings, want %d", table.len(), len(words))
			}
		}
		var fields wire
		for _, word := range words {
			fields = fields.text(1, word)
		}
		if !bytes.Equal(fields, table.fields) {
			t.Fatalf("%q is written as %q", words, table.fields)
		}
	})
}

// TestPackerIsLikeANewOne: what an event is packed into, or refused with, does not depend on what was added or packed before.
func TestPackerIsLikeANewOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		used := NewPacker(rapid.SampledFrom([]int{0, 120, 200}).Draw(t, "bytes"))
		for range rapid.IntRange(1, 3).Draw(t, "messages") {
			fresh := NewPacker(used.bytesMax)
			for range rapid.IntRange(0, 6).Draw(t, "events") {
				e := goodEvent
				e.ID = rapid.SampledFrom([]string{"1", "22", "", "x\n", strings.Repeat("i", 90)}).Draw(t, "id")
				e.Source = rapid.SampledFrom([]string{"s", "s", "s", "", "source"}).Draw(t, "source")
				e.Account = billing.AccountID(rapid.SampledFrom([]string{"a", "b", "b", "\xff", strings.Repeat("/", 99)}).Draw(t, "account"))
				e.Data = nil
				for range rapid.IntRange(0, 2).Draw(t, "fields") {
					e.Data = append(e.Data, billing.Field{
						Key:  rapid.SampledFrom([]string{"a", "b", "\xff", ""}).Draw(t, "key"),
						Text: rapid.SampledFrom([]string{"1", "x", "-1.5", "\xff", strings.Repeat("y", 50)}).Draw(t, "text"),
					})
				}
				one, other := used.Add(&e), fresh.Add(&e)
				if fmt.Sprint(one) != fmt.Sprint(other) {
					t.Fatalf("%+v: %v, a new packer says %v", e, one, other)
				}
				var p *Problem
				if want := Validate(&e); errors.As(one, &p) != (want != nil) || want != nil && *p != *want {
					t.Fatalf("%+v: %v, want %v", e, one, want)
				}
			}
			if one, other := used.AppendMessage(nil), fresh.AppendMessage(nil); !bytes.Equal(one, other) {
				t.Fatalf("%x, a new packer packs %x", one, other)
			}
		}
	})
}
