package ingest

import (
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tollway/tollway/sdk/billing"
)

// The wire of a packed batch: the tags (field number and wire type) of tollway.v1.UsageBatch and of its events. The
// package comment has the messages as proto text.
const (
	tagStrings = 1<<3 | uint64(protowire.BytesType)
	tagBase    = 2<<3 | uint64(protowire.VarintType)
	tagEvents  = 3<<3 | uint64(protowire.BytesType)

	tagSource       = 1<<3 | uint64(protowire.VarintType)
	tagID           = 2<<3 | uint64(protowire.BytesType)
	tagType         = 3<<3 | uint64(protowire.VarintType)
	tagAccount      = 4<<3 | uint64(protowire.VarintType)
	tagTimeDelta    = 5<<3 | uint64(protowire.VarintType)
	tagText         = 6<<3 | uint64(protowire.BytesType)
	tagTextSingle   = 6<<3 | uint64(protowire.VarintType) // a repeated number may also come unpacked
	tagNumber       = 7<<3 | uint64(protowire.BytesType)
	tagNumberSingle = 7<<3 | uint64(protowire.VarintType)
)

// packedState is what a Decoder remembers of the batch being read. It is emptied, not freed, between batches.
type packedState struct {
	strings []batchString
	events  []span // where the events' messages stand in the body
	base    int64  // base_time_unix_nano

	keys   map[string]uint32 // number of each distinct key text, from 1
	seenBy []uint64          // by that number: the last event that had the key, as counted by serial
	serial uint64            // counts events over the Decoder's life, so that seenBy needs no clearing

	pairs   []uint32 // of the event being read: text
	triples []int64  // of the event being read: number
}

// batchString is one string of the batch, with what has been found out about it, each at most once per batch.
type batchString struct {
	text      string
	key       uint32 // number of the text as a key, 0 while it has not been one
	goodName  bool   // it has passed checkAttribute
	goodOwner bool   // it has passed checkAccount
	_         [2]byte
}

type span struct{ start, end int }

// packedEvent is one PackedEvent as it stands on the wire.
type packedEvent struct {
	source, kind, account uint32
	id                    string
	delta                 int64
}

// decodePacked decodes a tollway.v1.UsageBatch. It reads the body twice: protobuf lets strings and base time stand behind
// the events that need them.
func (d *Decoder) decodePacked(body []byte, dst []Event) []Event {
	text := string(body) // all ids and strings of the batch are parts of this one copy
	if p := d.scanBatch(body, text); p != nil {
		return append(dst, Event{Problem: p})
	}
	for i, at := range d.packed.events {
		dst = append(dst, Event{Index: i})
		e := &dst[len(dst)-1]
		if e.Problem = d.decodePackedEvent(body, text, at, e); e.Problem == nil {
			d.hash(e)
		}
	}
	return dst
}

// scanBatch reads the outer message: strings, base time, and where the events are.
func (d *Decoder) scanBatch(body []byte, text string) *Problem {
	s := &d.packed
	s.strings, s.events, s.base = s.strings[:0], s.events[:0], 0
	clear(s.keys)
	for i := 0; i < len(body); {
		tag, next := uvarint(body, i)
		switch {
		case next < 0:
			return brokenBatch(i)
		case tag == tagStrings || tag == tagEvents:
			start, end := chunk(body, next)
			if end < 0 {
				return brokenBatch(i)
			}
			if tag == tagEvents {
				s.events = append(s.events, span{start, end})
			} else {
				s.strings = append(s.strings, batchString{text: text[start:end]})
			}
			next = end
		case tag == tagBase:
			var v uint64
			if v, next = uvarint(body, next); next < 0 {
				return brokenBatch(i)
			}
			s.base = protowire.DecodeZigZag(v)
		default:
			if next = skip(body, i); next < 0 {
				return brokenBatch(i)
			}
		}
		if len(s.events) > MessageEventsMax {
			return tooManyEvents().Problem
		}
		if len(s.strings) > BatchStringsMax {
			return problem(ReasonUndecodableMessage, "message: the batch has more than %d strings", BatchStringsMax)
		}
		i = next
	}
	if len(s.strings) == 0 {
		s.strings = append(s.strings, batchString{}) // index 0 is the empty string, said or not
	}
	return s.checkStrings()
}

// checkStrings holds the batch's strings to what protobuf and the wire demand of them.
func (s *packedState) checkStrings() *Problem {
	if s.strings[0].text != "" {
		return problem(ReasonUndecodableMessage, "message: string 0 of the batch must be empty")
	}
	for i := range s.strings {
		if !utf8.ValidString(s.strings[i].text) {
			return problem(ReasonUndecodableMessage, "message: string %d of the batch is not valid UTF-8", i)
		}
	}
	return nil
}

func brokenBatch(at int) *Problem {
	return problem(ReasonUndecodableMessage, "message: the packed batch is broken at byte %d", at)
}

// decodePackedEvent decodes one event of the batch.
func (d *Decoder) decodePackedEvent(body []byte, text string, at span, e *Event) *Problem {
	var packed packedEvent
	if !d.scanEvent(body[:at.end], text, at.start, &packed) {
		return problem(ReasonUndecodableEvent, "event: its packed form is broken")
	}
	if !utf8.ValidString(packed.id) {
		return problem(ReasonUndecodableEvent, "event: its id is not valid UTF-8")
	}
	e.ID = packed.id
	first := checkAttribute("id", e.ID)
	for _, a := range [...]struct {
		name  string
		index uint32
		to    *string
	}{{"source", packed.source, &e.Source}, {"type", packed.kind, &e.Type}, {"subject", packed.account, &e.Account}} {
		value, p := d.batchAttribute(a.name, a.index)
		if *a.to = value; first == nil {
			first = p
		}
	}
	e.Time = d.packed.base + packed.delta
	if first == nil && !timeInside(d.packed.base, packed.delta) {
		first = problem(ReasonBadTime, "time: base %d and delta %d nanoseconds lie outside the years %d to %d",
			d.packed.base, packed.delta, timeMin.Year(), timeEnd.Year()-1)
	}
	if p := d.packedData(e); first == nil {
		first = p
	}
	return first
}

// Unix nanoseconds of the times that can be billed.
var (
	timeMinUnixNano = timeMin.UnixNano()
	timeEndUnixNano = timeEnd.UnixNano()
)

// timeInside reports whether base + delta is a time that can be billed, and not one made by an overflow.
func timeInside(base, delta int64) bool {
	sum := base + delta
	overflow := (sum > base) != (delta > 0) && delta != 0
	return !overflow && sum >= timeMinUnixNano && sum < timeEndUnixNano
}

// batchAttribute returns an attribute that is a string of the batch, once it is known to be allowed.
func (d *Decoder) batchAttribute(name string, index uint32) (string, *Problem) {
	s, ok := d.batchString(index)
	switch {
	case !ok:
		return "", problem(ReasonUndecodableEvent, "event: %s is string %d, the batch has %d", name, index, len(d.packed.strings))
	case name == "subject":
		if !s.goodOwner {
			if p := checkAccount(s.text); p != nil {
				return "", p
			}
			s.goodOwner = true
		}
	case !s.goodName:
		if p := checkAttribute(name, s.text); p != nil {
			return "", p
		}
		s.goodName = true
	}
	return s.text, nil
}

func (d *Decoder) batchString(index uint32) (*batchString, bool) {
	if int64(index) < int64(len(d.packed.strings)) {
		return &d.packed.strings[index], true
	}
	return nil, false
}

// scanEvent reads one PackedEvent, which stands in body from start to its end. It reports false where protobuf would
// refuse the bytes.
func (d *Decoder) scanEvent(body []byte, text string, start int, e *packedEvent) bool {
	s := &d.packed
	s.pairs, s.triples = s.pairs[:0], s.triples[:0]
	for i := start; i < len(body); {
		tag, next := uvarint(body, i)
		if next < 0 {
			return false
		}
		var v uint64
		switch tag {
		case tagSource, tagType, tagAccount, tagTimeDelta, tagTextSingle, tagNumberSingle:
			v, next = uvarint(body, next)
		}
		switch tag {
		case tagSource:
			e.source = uint32(v)
		case tagType:
			e.kind = uint32(v)
		case tagAccount:
			e.account = uint32(v)
		case tagTimeDelta:
			e.delta = protowire.DecodeZigZag(v)
		case tagTextSingle:
			s.pairs = append(s.pairs, uint32(v))
		case tagNumberSingle:
			s.triples = append(s.triples, protowire.DecodeZigZag(v))
		case tagID:
			from, to := chunk(body, next)
			if next = to; to >= 0 {
				e.id = text[from:to]
			}
		case tagText, tagNumber:
			next = d.scanNumbers(body, next, tag == tagText)
		default:
			next = skip(body, i)
		}
		if next < 0 {
			return false
		}
		i = next
	}
	return true
}

// scanNumbers reads a packed list of pairs or triples and returns where it ends, -1 if it is broken.
func (d *Decoder) scanNumbers(body []byte, at int, pairs bool) int {
	i, end := chunk(body, at)
	if end < 0 {
		return -1
	}
	body = body[:end]
	for i < end {
		var v uint64
		if v, i = uvarint(body, i); i < 0 {
			return -1
		}
		if pairs {
			d.packed.pairs = append(d.packed.pairs, uint32(v))
		} else {
			d.packed.triples = append(d.packed.triples, protowire.DecodeZigZag(v))
		}
	}
	return end
}

// packedData makes the event's data of the pairs and triples that were read.
func (d *Decoder) packedData(e *Event) *Problem {
	s := &d.packed
	if len(s.pairs)%2 != 0 || len(s.triples)%3 != 0 {
		return problem(ReasonUndecodableEvent, "event: text must be pairs and number must be triples")
	}
	if p := checkFieldCount(len(s.pairs)/2 + len(s.triples)/3); p != nil {
		return p
	}
	d.fields = d.fields[:0]
	s.serial++
	for i := 0; i < len(s.pairs); i += 2 {
		value, ok := d.batchString(s.pairs[i+1])
		if !ok {
			return noString(int64(s.pairs[i+1]), len(s.strings))
		}
		if p := d.addField(int64(s.pairs[i]), value.text); p != nil {
			return p
		}
	}
	for i := 0; i < len(s.triples); i += 3 {
		var ok bool
		if d.scratch, ok = appendScaled(d.scratch[:0], s.triples[i+2], s.triples[i+1]); !ok {
			return problem(ReasonBadData, "data: a number has the scale %d, beyond %d", s.triples[i+1], exponentMax)
		}
		if p := d.addField(s.triples[i], d.arena.copy(d.scratch)); p != nil {
			return p
		}
	}
	e.Data = d.arena.keep(d.fields)
	return nil
}

func noString(index int64, count int) *Problem {
	return problem(ReasonUndecodableEvent, "event: its data names string %d, the batch has %d", index, count)
}

// addField adds a field whose key is a string of the batch, unless the event has that key already. Keys are compared as
// texts, as a batch may hold a string twice, yet each is looked up only once per batch.
func (d *Decoder) addField(index int64, text string) *Problem {
	s := &d.packed
	if index < 0 || index > math.MaxUint32 {
		return noString(index, len(s.strings))
	}
	key, ok := d.batchString(uint32(index))
	if !ok {
		return noString(index, len(s.strings))
	}
	number := key.key
	if number == 0 {
		if number = s.keys[key.text]; number == 0 {
			number = d.newKey(key.text)
		}
		key.key = number
	}
	if s.seenBy[number] == s.serial {
		return duplicateField(key.text)
	}
	s.seenBy[number] = s.serial
	d.fields = append(d.fields, billing.Field{Key: key.text, Text: text})
	return nil
}

func (d *Decoder) newKey(text string) uint32 {
	s := &d.packed
	if s.keys == nil {
		s.keys = make(map[string]uint32)
	}
	number := uint32(len(s.keys) + 1)
	s.keys[text] = number
	for len(s.seenBy) <= int(number) {
		s.seenBy = append(s.seenBy, 0)
	}
	return number
}

// uvarint reads a varint at b[i] and returns it with the place behind it, -1 if it is broken.
func uvarint(b []byte, i int) (v uint64, next int) {
	if i < len(b) && b[i] < 0x80 {
		return uint64(b[i]), i + 1
	}
	v, n := protowire.ConsumeVarint(b[i:])
	if n < 0 {
		return 0, -1
	}
	return v, i + n
}

// chunk returns where the length-delimited value at b[i] starts and ends; the end is -1 if it is broken.
func chunk(b []byte, i int) (start, end int) {
	size, start := uvarint(b, i)
	if start < 0 || size > uint64(len(b)-start) {
		return 0, -1
	}
	return start, start + int(size)
}

// skip returns the place behind a field that is not known, -1 if it is broken.
func skip(b []byte, i int) int {
	_, _, n := protowire.ConsumeField(b[i:])
	if n < 0 {
		return -1
	}
	return i + n
}
