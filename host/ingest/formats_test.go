package ingest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
)

// drawText draws text as it comes in attributes (visible) or data (anything).
func drawText(t *rapid.T, label string, bytesMax int, visible bool) string {
	text := rapid.OneOf(
		rapid.StringMatching(`[a-z0-9./:_-]{1,12}`),
		rapid.StringN(1, 20, bytesMax),
		rapid.SampledFrom([]string{"ä/ö", "a b", `"q"`, `back\slash`, "%41", "=41", "\u2028", "🚗", "<&>", "1.50", "1e3", "null"}),
	).Draw(t, label)
	if visible && !printable(text) {
		return "x"
	}
	return text
}

// drawValue draws the canonical text of a data field and the ways in which JSON may write its value.
func drawValue(t *rapid.T) (text string, written []string) {
	quoted := func(text string) string {
		q, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(q)
	}
	switch rapid.SampledFrom([]string{"text", "number", "number", "decimal", "bool"}).Draw(t, "kind") {
	case "number":
		one, other := drawLiterals(t)
		text := canonical(t, one)
		return text, []string{one, other, text, quoted(text)}
	case "decimal":
		unscaled := rapid.Int64().Draw(t, "unscaled")
		scale := rapid.IntRange(0, 18).Draw(t, "scale")
		one := new(big.Rat).SetFrac(big.NewInt(unscaled), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)).FloatString(scale)
		text := canonical(t, one)
		return text, []string{one, text, quoted(text)}
	case "bool":
		return "true", []string{"true", `"true"`}
	}
	text = drawText(t, "text", 60, false)
	return text, []string{quoted(text)}
}

func canonical(t *rapid.T, literal string) string {
	text, ok := appendNumber(nil, []byte(literal))
	if !ok {
		t.Fatalf("%s is refused", literal)
	}
	return string(text)
}

// drawn is an event with, for each field, the ways in which its value may be written.
type drawn struct {
	event   billing.UsageEvent
	written [][]string
}

func drawEvent(t *rapid.T) drawn {
	d := drawn{event: billing.UsageEvent{
		Source: drawText(t, "source", AttributeBytesMax, true), ID: drawText(t, "id", AttributeBytesMax, true),
		Type: drawText(t, "type", AttributeBytesMax, true), Account: billing.AccountID(drawText(t, "account", 60, true)),
		Time: time.Unix(0, rapid.Int64Range(timeMinUnix*nanosPerSecond, timeEndUnix*nanosPerSecond-1).Draw(t, "time")).UTC(),
	}}
	for range rapid.IntRange(0, 6).Draw(t, "fields") {
		key := drawText(t, "key", 40, false)
		if _, there := d.event.Value(key); there {
			continue
		}
		text, written := drawValue(t)
		d.event.Data = append(d.event.Data, billing.Field{Key: key, Text: text})
		d.written = append(d.written, written)
	}
	return d
}

// structured writes the event as one CloudEvent, in one of the many ways.
func (d drawn) structured(t *rapid.T) []byte {
	quoted := func(s string) string {
		q, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(q)
	}
	zone := time.FixedZone("", 60*rapid.IntRange(-14*60, 14*60).Draw(t, "zone"))
	members := []string{
		`"specversion":"1.0"`, `"id":` + quoted(d.event.ID), `"source" : ` + quoted(d.event.Source), `"type":` + quoted(d.event.Type),
		`"subject":` + quoted(string(d.event.Account)), `"time":"` + d.event.Time.In(zone).Format(time.RFC3339Nano) + `"`,
		`"extension":{"a":[1,2]}`,
	}
	if data := d.data(t); data != "{}" || rapid.Bool().Draw(t, "say empty data") {
		members = append(members, ` "data" : `+data)
	}
	return []byte("{" + strings.Join(rapid.Permutation(members).Draw(t, "members"), ",") + "}")
}

// data writes the event's data as a JSON object.
func (d drawn) data(t *rapid.T) string {
	var members []string
	for i, f := range d.event.Data {
		key, err := json.Marshal(f.Key)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, string(key)+" : "+rapid.SampledFrom(d.written[i]).Draw(t, "written"))
	}
	if len(members) > 0 {
		members = rapid.Permutation(members).Draw(t, "data members")
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (d drawn) binary(t *rapid.T) (func(string) string, []byte) {
	e := &d.event
	return headers("ce-specversion", "1.0", "ce-id", url.PathEscape(e.ID), "ce-source", url.PathEscape(e.Source),
		"ce-type", url.PathEscape(e.Type), "ce-subject", url.PathEscape(string(e.Account)),
		"ce-time", e.Time.Format(time.RFC3339Nano)), []byte(d.data(t))
}

// alike returns events without what may differ: their places in messages, and an empty list for none.
func alike(events ...Event) []Event {
	out := slices.Clone(events)
	for i := range out {
		if len(out[i].Data) == 0 {
			out[i].Data = nil
		}
		out[i].Index = 0
	}
	return out
}

// TestFormatsAgree: an event that is sent again in another body format, with its numbers written another way and its
// members in another order, is the same event.
func TestFormatsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		decoder := NewDecoder(rapid.Uint64().Draw(t, "seed"))
		n := rapid.IntRange(1, 4).Draw(t, "events")
		var all []drawn
		var usage []billing.UsageEvent
		var want []Event
		var array []string
		for range n {
			d := drawEvent(t)
			all = append(all, d)
			usage = append(usage, d.event)
			array = append(array, string(d.structured(t)))
			want = append(want, decoder.Decode(contentType(ContentTypeEvent), d.structured(t), nil)...)
		}
		want = alike(want...)
		check := func(how string, got []Event) {
			if diff := gocmp.Diff(want, alike(got...)); diff != "" {
				t.Fatalf("%s: %s", how, diff)
			}
		}
		for i, e := range want {
			if e.Problem != nil {
				t.Fatal(e.Problem)
			}
			if diff := gocmp.Diff(alike(asEvent(decoder, &usage[i])), alike(e)); diff != "" {
				t.Fatalf("what was sent: %s", diff)
			}
		}
		check("array", decoder.Decode(contentType(ContentTypeArray), []byte("["+strings.Join(array, ",")+"]"), nil))
		body, err := Pack(nil, usage)
		if err != nil {
			// Only centuries between two events keep them out of one batch.
			if n == 1 || err.Error() != fmt.Sprintf("event %d: %v", tooFar(usage), ErrFull) {
				t.Fatal(err)
			}
		} else {
			check("packed", decoder.Decode(contentType(ContentTypePacked), body, nil))
		}
		var binary, written, lines []Event
		for _, d := range all {
			header, body := d.binary(t)
			binary = decoder.Decode(header, body, binary)
			text, err := AppendJSON(nil, &d.event)
			if err != nil {
				t.Fatal(err)
			}
			written = decoder.Decode(contentType(""), text, written)
			e, err := ParseJSON(text)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, asEvent(decoder, &e))
		}
		check("binary", binary)
		check("AppendJSON", written)
		check("ParseJSON", lines)
	})
}

// tooFar returns the first event that is too far from the first in time for one batch.
func tooFar(events []billing.UsageEvent) int {
	return slices.IndexFunc(events, func(e billing.UsageEvent) bool {
		years := e.Time.Year() - events[0].Time.Year()
		return years >= 292 || years <= -292
	})
}

// asEvent makes of an event what decoding it should give.
func asEvent(d *Decoder, u *billing.UsageEvent) Event {
	e := Event{Source: u.Source, ID: u.ID, Type: u.Type, Account: string(u.Account), Time: u.Time.UnixNano(), Data: slices.Clone(u.Data)}
	slices.SortFunc(e.Data, func(a, b billing.Field) int { return cmp.Compare(a.Key, b.Key) })
	d.hashAll(&e)
	return e
}

// TestHashesTellApart: whatever changes in an event changes its content or, and that are source, id and account, its identity.
func TestHashesTellApart(t *testing.T) {
	d := NewDecoder(7)
	base := asEvent(d, &goodEvent)
	seen := map[Hash]string{base.Content: "base"}
	for name, change := range map[string]func(*billing.UsageEvent){
		"type":            func(e *billing.UsageEvent) { e.Type = "api.requests" },
		"type to account": func(e *billing.UsageEvent) { e.Type, e.Account = "api.requeste", "mma" },
		"account":         func(e *billing.UsageEvent) { e.Account = "emm" },
		"time":            func(e *billing.UsageEvent) { e.Time = e.Time.Add(1) },
		"text":            func(e *billing.UsageEvent) { e.Data[0].Text = "1.50" },
		"key":             func(e *billing.UsageEvent) { e.Data[0].Key = "call" },
		"key to text":     func(e *billing.UsageEvent) { e.Data[0] = billing.Field{Key: "call", Text: "s1.5"} },
		"swapped texts":   func(e *billing.UsageEvent) { e.Data[0].Text, e.Data[1].Text = e.Data[1].Text, e.Data[0].Text },
		"fewer":           func(e *billing.UsageEvent) { e.Data = e.Data[:2] },
		"none":            func(e *billing.UsageEvent) { e.Data = nil },
		"more":            func(e *billing.UsageEvent) { e.Data = append(e.Data, billing.Field{}) },
	} {
		u := goodEvent
		u.Data = slices.Clone(u.Data)
		change(&u)
		e := asEvent(d, &u)
		if before, there := seen[e.Content]; there && name != "account" {
			t.Errorf("%s has the content of %s", name, before)
		}
		seen[e.Content] = name
		if (e.Identity == base.Identity) != (e.Account == base.Account) {
			t.Errorf("%s: changed the identity: %v", name, e.Identity != base.Identity)
		}
	}
	u := goodEvent
	u.Source, u.ID = u.Source+u.ID[:1], u.ID[1:]
	if e := asEvent(d, &u); e.Identity == base.Identity || e.Content != base.Content {
		t.Error("source and id run into each other")
	}
	if e := asEvent(NewDecoder(8), &goodEvent); e.Identity == base.Identity || e.Content != base.Content {
		t.Error("the seed must change the identity and nothing else")
	}
}

// TestHashesStayTheSame: stored hashes are compared with new ones, so that a changed hash would price events twice.
func TestHashesStayTheSame(t *testing.T) {
	e := asEvent(NewDecoder(7), &goodEvent)
	got := fmt.Sprintf("%x %x", e.Identity, e.Content)
	const want = "204e8c02e091de1a624ce091402b9abf 726180e27ac02d341b21034ebdd26000"
	if got != want {
		t.Errorf("hashes are %s, were %s", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	kinds := []string{ContentTypeEvent, ContentTypeArray, ContentTypePacked, "", "binary"}
	for kind := range kinds {
		f.Add(byte(kind), []byte(goodJSON))
		f.Add(byte(kind), []byte("["+goodJSON+`,{"a":1,"a":2},7]`))
		f.Add(byte(kind), []byte(`{"o":{"b":[1.0,null,"x\u0041"],"a":{}},"n":-0.0e-7}`))
	}
	packed, err := Pack(nil, []billing.UsageEvent{goodEvent, goodEvent})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(byte(2), packed)
	f.Add(byte(2), []byte(dictionary(nil).bytes(3, wire{}.uint(1, 1).text(2, "e").bytes(6, []byte{5, 6}).bytes(7, zigzag(4, 20, 7)))))
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		header := contentType(kinds[int(kind)%len(kinds)])
		if kinds[int(kind)%len(kinds)] == "binary" {
			header = headers("ce-specversion", "1.0", "ce-id", "i", "ce-source", "s", "ce-type", "t", "ce-subject", "a", "ce-time", "2026-01-01T00:00:00Z")
		}
		d := NewDecoder(1)
		events := d.Decode(header, bytes.Clone(body), nil)
		if diff := gocmp.Diff(events, NewDecoder(1).Decode(header, body, nil)); diff != "" {
			t.Fatalf("decoded again: %s", diff)
		}
		for i, e := range events {
			if e.Index != i && len(events) > 1 {
				t.Fatalf("event %d has the index %d", i, e.Index)
			}
			if e.Problem != nil {
				if e.Problem.Reason == "" || e.Problem.Detail == "" || e.Content != (Hash{}) {
					t.Fatalf("%+v", e)
				}
				continue
			}
			roundTrip(t, d, e)
		}
	})
}

// roundTrip holds a decoded event against itself, packed and as JSON.
func roundTrip(t *testing.T, d *Decoder, e Event) {
	t.Helper()
	usage := e.Usage()
	if p := Validate(&usage); p != nil {
		t.Fatalf("decoded, yet not valid: %v", p)
	}
	want := alike(e)
	packed, err := Pack(nil, []billing.UsageEvent{usage})
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, alike(d.Decode(contentType(ContentTypePacked), packed, nil)...)); diff != "" {
		t.Fatalf("packed: %s", diff)
	}
	text, err := AppendJSON(nil, &usage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, alike(d.Decode(contentType(""), text, nil)...)); diff != "" {
		t.Fatalf("as JSON: %s", diff)
	}
}

// TestTextClasses holds the checks that look at eight bytes at a time against what they are meant to find.
func TestTextClasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringMatching(`[ -~]{0,40}`),
			rapid.StringMatching(`[ -~]{0,20}[\x00-\x20~\x7f\x{80}-\x{a1}é]?[ -~]{0,20}`),
			rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 24), func(b []byte) string { return string(b) }),
		).Draw(t, "text")
		wantPrintable := utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
		if got := printable(text); got != wantPrintable {
			t.Fatalf("printable(%q) is %v", text, got)
		}
		wantASCII := !strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf })
		if got := ascii(text); got != wantASCII {
			t.Fatalf("ascii(%q) is %v", text, got)
		}
		wantWord := uint64(len(text)) << 56
		if len(text) > 7 {
			wantWord = xxh3.HashString(text)
		} else {
			for i := range len(text) {
				wantWord |= uint64(text[i]) << (8 * i)
			}
		}
		if got := word(text); got != wantWord {
			t.Fatalf("word(%q) is %x, want %x", text, got, wantWord)
		}
	})
}
