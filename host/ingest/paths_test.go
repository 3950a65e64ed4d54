package ingest

import (
	"bytes"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
)

// The tests of this file hold the short ways, which read what is common and leave the rest alone, against the long ones,
// which read everything.

// longPacked decodes a batch without the short way.
func longPacked(body []byte) (events []Event) {
	d := NewDecoder(1)
	if p := d.scanBatch(body); p != nil {
		return []Event{{Problem: p}}
	}
	for i, at := range d.packed.events {
		var e Event
		d.packedAny(body[at.start:at.end], &e)
		e.Index = i
		events = append(events, e)
	}
	return events
}

func comparePacked(t interface{ Fatalf(string, ...any) }, body []byte) {
	want, got := longPacked(body), NewDecoder(1).Decode(contentType(ContentTypePacked), body, nil)
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%x: %s", body, diff)
	}
}

// drawPacked draws a batch whose events have few shapes, some of them odd.
func drawPacked(t *rapid.T) []byte {
	words := append([]string{""}, rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "calls", "long enough to hash", "a", "ä", "b\x01", "\xff"}), 1, 8).Draw(t, "strings")...)
	word := rapid.Uint64Range(0, uint64(len(words)))
	var shapes [3][]uint64
	for i := range shapes {
		shapes[i] = rapid.SliceOfN(word, 0, 5).Draw(t, "shape")
	}
	var w wire
	for _, s := range words {
		w = w.text(1, s)
	}
	w = w.sint(2, rapid.Int64Range(0, 1<<62).Draw(t, "base"))
	for range rapid.IntRange(0, 6).Draw(t, "events") {
		shape := rapid.SampledFrom(shapes[:]).Draw(t, "keys")
		texts := rapid.IntRange(0, len(shape)).Draw(t, "texts")
		var text, number []byte
		for i, key := range shape {
			if i < texts {
				text = protowire.AppendVarint(protowire.AppendVarint(text, key), word.Draw(t, "value"))
				continue
			}
			scale := rapid.SampledFrom([]int64{0, 0, 1, 2, 6, 18, 19, -3, -70, 2_000_000}).Draw(t, "scale")
			number = append(number, zigzag(int64(key), scale, rapid.Int64().Draw(t, "unscaled"))...)
		}
		e := wire{}.uint(1, word.Draw(t, "source")).text(2, rapid.SampledFrom([]string{"i", "", "a long id 0123456789", "ö", "x\n"}).Draw(t, "id")).
			uint(3, word.Draw(t, "type")).uint(4, word.Draw(t, "account")).sint(5, rapid.Int64Range(-1000, 1<<61).Draw(t, "delta"))
		if texts > 0 {
			e = e.bytes(6, text)
		}
		if texts < len(shape) {
			e = e.bytes(7, number)
		}
		if rapid.IntRange(0, 9).Draw(t, "more") == 0 {
			e = append(e, rapid.SampledFrom([]string{"\x30\x01", "\x32\x02\x01\x02", "\x3a\x00", "\x50\x01", "\x12\x01z", "\x08\x81\x00", "\x80"}).Draw(t, "tail")...)
		}
		w = w.bytes(3, e)
	}
	return w
}

// drawDamage changes some bytes.
func drawDamage(t *rapid.T, body []byte) []byte {
	body = bytes.Clone(body)
	for range rapid.IntRange(0, 3).Draw(t, "damages") {
		if len(body) == 0 {
			break
		}
		at := rapid.IntRange(0, len(body)-1).Draw(t, "at")
		switch rapid.IntRange(0, 3).Draw(t, "damage") {
		case 0:
			body[at] = rapid.Byte().Draw(t, "byte")
		case 1:
			body = append(body[:at], body[at+1:]...)
		case 2:
			body = append(body[:at+1], body[at:]...)
		case 3:
			body[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
	}
	return body
}

func TestPackedPathsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		comparePacked(t, drawDamage(t, drawPacked(t)))
	})
}

// TestPackedPlain: what a Packer writes goes the short way.
func TestPackedPlain(t *testing.T) {
	body, err := Pack(nil, usage(200))
	if err != nil {
		t.Fatal(err)
	}
	d := NewDecoder(1)
	if p := d.scanBatch(body); p != nil {
		t.Fatal(p)
	}
	for i, at := range d.packed.events {
		if e := new(Event); !d.packedPlain(body[at.start:at.end], e) {
			t.Fatalf("event %d goes the long way", i)
		}
	}
	comparePacked(t, body)
}

func FuzzPackedPathsAgree(f *testing.F) {
	body, err := Pack(nil, []billing.UsageEvent{goodEvent, goodEvent})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(dictionary(nil).bytes(3, wire{}.uint(1, 1).text(2, "e").bytes(6, []byte{5, 6}).bytes(7, zigzag(4, 20, 7)))))
	f.Fuzz(func(t *testing.T, body []byte) { comparePacked(t, body) })
}

// compareJSON decodes a body in every way in which JSON comes, short and long.
func compareJSON(t interface{ Fatalf(string, ...any) }, body []byte) {
	check := func(how string, want, got []Event) {
		if !reflect.DeepEqual(want, got) { // which is much faster
			t.Fatalf("%s %q: %s", how, body, gocmp.Diff(want, got))
		}
	}
	short := NewDecoder(1)
	check("event", NewDecoder(1).decodeLong(body, nil), short.Decode(contentType(ContentTypeEvent), body, nil))
	check("array", NewDecoder(1).decodeArrayLong(body, nil), short.Decode(contentType(ContentTypeArray), body, nil))
	long := NewDecoder(1)
	if short.plainDataBody(body) {
		if p := long.readDataBody(body, "data"); p != nil {
			t.Fatalf("data %q: %v", body, p)
		}
		if p := sortFields(long.fields); p != nil {
			t.Fatalf("data %q: %v", body, p)
		}
		if diff := gocmp.Diff(long.fields, short.fields, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("data %q: %s", body, diff)
		}
	}
}

// oddities are pieces of JSON, and of what is nearly JSON, that the two ways must see alike.
func oddities() []string {
	return []string{
		`"`, `\`, `{`, `}`, `[`, `]`, `,`, `:`, " ", "\n", "\t", "\r", "\f", "\x00", "\x1f", "\x7f", "\u0085", "\u00a0", "\xff", "\xc0\x80", "\xed\xa0\x80", "é", "\U0001F697",
		`null`, `true`, `false`, `nul`, `True`, `NaN`, `-`, `0`, `-0`, `00`, `01`, `0.`, `.5`, `1.50`, `1.0`, `-0.0`, `-0.50`, `+1`, `1e3`, `1E+03`, `1e`, `1e1000001`, `-1.5e-7`, `0x1`,
		`123456789012345678901234567890123456789012345678901234567890123456789`, `0.000000000000000000000000000000000000000000000000000000000000000001`,
		`1000000000000000000000000000000000000000000000000000000000000`, `100000000000000000000000000000000000000000000000000000.100`,
		`{}`, `[]`, `{"a":1,"a":2}`, `[1,[2]]`, `""`, `"\u0041"`, `"\ud800"`, `"a":null`, `"a":null,"a":null`, `"calls":null,`, `"id":null`, `"id":"e2"`, `"ID":"e1",`, `"x":1,`, `"x":{"a":1,"a":2},`,
		`"x":1,"x":2,`, `"data":{},`, `"data":null,`, `"data_base64":null,`, `"data_base64":"e30=",`, `"datacontenttype":"text/xml",`, `"datacontenttype":"Application/JSON; x=1",`, `"datacontenttype":null,`, `"datacontenttype":7,`,
		`"e1"`, `"2026-10-01T12:00:00Z"`, `"2026-10-01t12:00:00z"`, `"2026-02-29T12:00:00Z"`, `"2024-02-29T23:59:59.999999999+23:59"`, `"2026-10-01T12:00:60Z"`, `"2026-10-01T24:00:00Z"`,
		`"2026-10-01T12:00:00.1234567891Z"`, `"2026-10-01T12:00:00.Z"`, `"2026-10-01T12:00:00,5Z"`, `"2026-10-01T12:00:00+24:00"`, `"2026-10-01T12:00:00-00:60"`, `"1699-12-31T23:59:59-00:01"`, `"1700-01-01T00:00:00+00:01"`,
		`"2261-12-31T23:59:59.999999999Z"`, `"2262-01-01T00:00:00+00:01"`, `"0000-01-01T00:00:00Z"`, `"2026-00-01T00:00:00Z"`, `"2026-04-31T00:00:00Z"`,
		`"1.0"`, `"0.3"`, `"specversion"`, `"data"`, `"a very long text of more than eight bytes"`, `"a very long text with é"`, "\"a text with a tab\there\"", "\"a text with a \xff\"",
	}
}

// drawJSON draws a body that is an event or an array of them, or has been one.
func drawJSON(t *rapid.T) []byte {
	var body []byte
	n := rapid.IntRange(1, 3).Draw(t, "events")
	for range n {
		e := []byte(goodJSON)
		if rapid.Bool().Draw(t, "drawn") {
			e = drawEvent(t).structured(t)
		}
		if rapid.IntRange(0, 2).Draw(t, "odd") > 0 {
			e = drawOddity(t, e)
		}
		body = append(append(body, ','), e...)
	}
	if n > 1 || rapid.Bool().Draw(t, "array") {
		body = append(body, ']')
		body[0] = '['
	} else {
		body = body[1:]
	}
	if rapid.IntRange(0, 4).Draw(t, "damaged") == 0 {
		body = drawDamage(t, body)
	}
	return body
}

// drawOddity puts an oddity anywhere, or in place of a token.
func drawOddity(t *rapid.T, e []byte) []byte {
	odd := rapid.SampledFrom(oddities()).Draw(t, "oddity")
	if rapid.Bool().Draw(t, "anywhere") {
		at := rapid.IntRange(0, len(e)).Draw(t, "at")
		return slices.Insert(bytes.Clone(e), at, []byte(odd)...)
	}
	tokens := regexp.MustCompile(`"(\\.|[^"\\])*"|[-+.0-9a-zA-Z]+|[{}:,]`).FindAllIndex(e, -1)
	if len(tokens) == 0 {
		return e
	}
	token := rapid.SampledFrom(tokens).Draw(t, "token")
	if rapid.Bool().Draw(t, "before") {
		token[1] = token[0]
	}
	return slices.Replace(bytes.Clone(e), token[0], token[1], []byte(odd)...)
}

func TestJSONPathsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		compareJSON(t, drawJSON(t))
	})
}

// TestJSONPathsAgreeOnEach puts every oddity into every place of an event.
func TestJSONPathsAgreeOnEach(t *testing.T) {
	const small = `{"specversion":"1.0","id":"i","source":"s","type":"t","subject":"a","time":"2026-10-01T12:00:00Z","data":{"n":-1.50,"s":"é"},"x":7}`
	compareJSON(t, []byte(small))
	for _, odd := range oddities() {
		for at := range len(small) + 1 {
			body := small[:at] + odd + small[at:]
			compareJSON(t, []byte(body))
			if at%7 == 0 {
				compareJSON(t, []byte("["+small+","+body+" , "+small+"]"))
			}
		}
		for _, token := range []string{`"i"`, `"2026-10-01T12:00:00Z"`, `-1.50`, `"é"`, `7`, `"x"`, `"data"`, `{"n":-1.50,"s":"é"}`, `"n"`, `"1.0"`} {
			compareJSON(t, []byte(strings.Replace(small, token, odd, 1)))
		}
	}
}

// TestJSONPlain: what AppendJSON writes goes the short way.
func TestJSONPlain(t *testing.T) {
	d := NewDecoder(1)
	for _, body := range append(structuredBodies(t), []byte(goodJSON), []byte(" "+strings.ReplaceAll(goodJSON, `":`, "\" : "))) {
		if next := d.plainEvent(body, space(body, 0), new(Event)); next != len(body) {
			t.Fatalf("%s goes the long way", body)
		}
	}
}

// TestJSONNested: an array whose elements are nested more deeply than the decoder allows is refused in both ways.
func TestJSONNested(t *testing.T) {
	for _, depth := range []int{10, 4_990, 9_998, 9_999, 10_000, 10_001} {
		deep := strings.Replace(goodJSON, `"id"`, `"x":`+strings.Repeat("[", depth)+strings.Repeat("]", depth)+`,"id"`, 1)
		compareJSON(t, []byte(deep))
		compareJSON(t, []byte("["+deep+"]"))
	}
}

func FuzzJSONPathsAgree(f *testing.F) {
	f.Add([]byte(goodJSON))
	f.Add([]byte("[" + goodJSON + `,{"a":1,"a":2},7]`))
	f.Add([]byte(`{"o":{"b":[1.0,null,"x\u0041"],"a":{}},"n":-0.0e-7}`))
	for _, odd := range oddities() {
		f.Add([]byte(strings.Replace(goodJSON, `1.50`, odd, 1)))
		f.Add([]byte(strings.Replace(goodJSON, `"2026-10-01T12:00:00.5+02:00"`, odd, 1)))
		f.Add([]byte(strings.Replace(goodJSON, `"e1",`, `"e1",`+odd, 1)))
	}
	f.Fuzz(func(t *testing.T, body []byte) { compareJSON(t, body) })
}

// TestTimesAgree holds the short reading of times against that of package time.
func TestTimesAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(timeMinUnix-200_000, timeEndUnix+200_000).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos"))
		zone := time.FixedZone("", 60*rapid.IntRange(-25*60, 25*60).Draw(t, "zone"))
		text := drawDamage(t, []byte(at.In(zone).Format(time.RFC3339Nano)))
		want, p := parseTime(text)
		if got, ok := plainTime(text); ok && (p != nil || got != want) {
			t.Fatalf("%s is %d, want %d, %v", text, got, want, p)
		}
	})
}

// TestPlainTimes: every day of the years that can be billed is read the short way.
func TestPlainTimes(t *testing.T) {
	for at := time.Unix(timeMinUnix, 0).UTC(); at.Unix() < timeEndUnix; at = at.Add(24*time.Hour - 1117*time.Millisecond) {
		text := at.Format(time.RFC3339Nano)
		if got, ok := plainTime([]byte(text)); !ok || got != at.UnixNano() {
			t.Fatalf("%s is %d, %v", text, got, ok)
		}
	}
}
