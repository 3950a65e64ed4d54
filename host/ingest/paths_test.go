package ingest

import (
	"bytes"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
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
	got := NewDecoder(1).Decode(contentType(ContentTypePacked), body, nil)
	if diff := gocmp.Diff(longPacked(body), got); diff != "" {
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
