package ingest

import (
	"slices"
	"unicode/utf8"

	"github.com/zeebo/xxh3"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tollway/tollway/sdk/billing"
)

// The wire of a packed batch: the tags (field number and wire type) of tollway.v1.UsageBatch and of its events. The
// package comment has the messages as proto text.
const (
	wireVarint = 0
	wireBytes  = 2

	tagStrings = 1<<3 | wireBytes
	tagBase    = 2<<3 | wireVarint
	tagEvents  = 3<<3 | wireBytes

	tagSource       = 1<<3 | wireVarint
	tagID           = 2<<3 | wireBytes
	tagType         = 3<<3 | wireVarint
	tagAccount      = 4<<3 | wireVarint
	tagTimeDelta    = 5<<3 | wireVarint
	tagText         = 6<<3 | wireBytes
	tagTextSingle   = 6<<3 | wireVarint // a repeated number may also come unpacked
	tagNumber       = 7<<3 | wireBytes
	tagNumberSingle = 7<<3 | wireVarint
)

// packedState is what a Decoder remembers of the batch being read. It is emptied, not freed, between batches.
type packedState struct {
	strings []batchString
	events  []span // where the events' messages stand in the body
	base    int64  // base_time_unix_nano
	shapes  [shapesMax]shape

	pairs   []uint32 // of the event being read: text
	triples []int64  // of the event being read: number
}

// batchString is one string of the batch, with what has been found out about it, each at most once per batch.
type batchString struct {
	text    string
	known   role         // what it has been checked for, with the results below
	token   uint32       // inAccount: its TokenHash
	word    uint64       // inContent
	source  xxh3.Uint128 // inSource: its part of an identity
	account xxh3.Uint128 // inAccount
}

// role is what an event uses a string of the batch for.
type role uint8

const (
	inSource role = 1 << iota
	inType
	inAccount
	inContent
)

type span struct{ start, end int32 }

// packedEvent is one PackedEvent as it stands on the wire.
type packedEvent struct {
	source, kind, account uint32
	id                    string
	delta                 int64
}

// decodePacked decodes a tollway.v1.UsageBatch. It reads the body twice: protobuf lets strings and base time stand behind
// the events that need them.
func (d *Decoder) decodePacked(body []byte, dst []Event) []Event {
	if p := d.scanBatch(body); p != nil {
		return append(dst, Event{Problem: p})
	}
	start := len(dst)
	dst = slices.Grow(dst, len(d.packed.events))[:start+len(d.packed.events)]
	for i, at := range d.packed.events {
		e := &dst[start+i]
		if message := body[at.start:at.end]; !d.packedPlain(message, e) {
			d.packedAny(message, e)
		}
		e.Index = i
	}
	return dst
}

// packedAny reads one event in any encoding that protobuf allows, and finds what is wrong with one that is refused.
func (d *Decoder) packedAny(message []byte, e *Event) {
	*e = Event{}
	if e.Problem = d.decodePackedEvent(message, e); e.Problem == nil {
		d.hashAll(e)
	}
}

// scanBatch reads the outer message: strings, base time, and where the events are.
func (d *Decoder) scanBatch(body []byte) *Problem {
	s := &d.packed
	for i := range s.shapes {
		s.shapes[i].fields = s.shapes[i].fields[:0]
	}
	s.strings, s.events, s.base = s.strings[:0], s.events[:0], 0
	for i := 0; i < len(body); {
		tag, next := uint64(body[i]), i+1
		if tag >= 0x80 {
			tag, next = uvarint(body, i)
		}
		switch {
		case next < 0:
			return brokenBatch(i)
		case tag == tagStrings || tag == tagEvents:
			start, end := chunk(body, next)
			if end < 0 {
				return brokenBatch(i)
			}
			if tag == tagEvents {
				s.events = append(s.events, span{int32(start), int32(end)})
			} else {
				s.strings = append(s.strings, batchString{text: stringOf(body[start:end])})
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
		if text := s.strings[i].text; !ascii(text) && !utf8.ValidString(text) {
			return problem(ReasonUndecodableMessage, "message: string %d of the batch is not valid UTF-8", i)
		}
	}
	return nil
}

func brokenBatch(at int) *Problem {
	return problem(ReasonUndecodableMessage, "message: the packed batch is broken at byte %d", at)
}

// decodePackedEvent decodes one event of the batch.
func (d *Decoder) decodePackedEvent(message []byte, e *Event) *Problem {
	var packed packedEvent
	if !d.scanEvent(message, &packed) {
		return problem(ReasonUndecodableEvent, "event: its packed form is broken")
	}
	var p *Problem
	first := checkAttribute("id", packed.id)
	if first != nil && !utf8.ValidString(packed.id) {
		return problem(ReasonUndecodableEvent, "event: its id is not valid UTF-8")
	}
	note := func(found *Problem) {
		if first == nil {
			first = found
		}
	}
	if len(packed.id) <= AttributeBytesMax {
		e.ID = packed.id
	}
	e.Source, p = d.batchName("source", packed.source)
	note(p)
	e.Type, p = d.batchName("type", packed.kind)
	note(p)
	e.Account, p = d.batchAccount(packed.account)
	note(p)
	e.Time = d.packed.base + packed.delta
	if !deltaInside(d.packed.base, packed.delta) {
		note(problem(ReasonBadTime, "time: base %d and delta %d nanoseconds lie outside the years %d to %d",
			d.packed.base, packed.delta, yearMin, yearMax))
	}
	note(d.packedData(e))
	return first
}

// deltaInside reports whether base + delta is a time that can be billed, and not one made by an overflow.
func deltaInside(base, delta int64) bool {
	sum := base + delta
	overflow := (sum > base) != (delta > 0) && delta != 0
	return !overflow && sum >= timeMinUnix*nanosPerSecond && sum < timeEndUnix*nanosPerSecond
}

// batchName returns a source or type that is a string of the batch.
func (d *Decoder) batchName(name string, index uint32) (string, *Problem) {
	s, ok := d.batchString(index)
	if !ok {
		return "", d.noAttribute(name, index)
	}
	if p := checkAttribute(name, s.text); p != nil {
		return "", p
	}
	return s.text, nil
}

// batchAccount does the same for the account.
func (d *Decoder) batchAccount(index uint32) (string, *Problem) {
	s, ok := d.batchString(index)
	if !ok {
		return "", d.noAttribute("subject", index)
	}
	if p := checkAccount(s.text); p != nil {
		return "", p
	}
	return s.text, nil
}

func (d *Decoder) noAttribute(name string, index uint32) *Problem {
	return problem(ReasonUndecodableEvent, "event: %s is string %d, the batch has %d", name, index, len(d.packed.strings))
}

func (d *Decoder) batchString(index uint32) (*batchString, bool) {
	if int64(index) < int64(len(d.packed.strings)) {
		return &d.packed.strings[index], true
	}
	return nil, false
}

// scanEvent reads one PackedEvent. It reports false where protobuf would refuse the bytes.
func (d *Decoder) scanEvent(body []byte, e *packedEvent) bool {
	s := &d.packed
	s.pairs, s.triples = s.pairs[:0], s.triples[:0]
	for i := 0; i < len(body); {
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
				e.id = stringOf(body[from:to])
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
	fields := d.arena.take(len(s.pairs)/2 + len(s.triples)/3)
	for i := 0; i < len(s.pairs); i += 2 {
		key, p := d.dataString(int64(s.pairs[i]))
		if p != nil {
			return p
		}
		value, p := d.dataString(int64(s.pairs[i+1]))
		if p != nil {
			return p
		}
		fields[i/2] = billing.Field{Key: key, Text: value}
	}
	numbers := fields[len(s.pairs)/2:]
	for i := 0; i < len(s.triples); i += 3 {
		key, p := d.dataString(s.triples[i])
		if p != nil {
			return p
		}
		var ok bool
		if d.scratch, ok = appendScaled(d.scratch[:0], s.triples[i+2], s.triples[i+1]); !ok {
			return problem(ReasonBadData, "data: a number has the scale %d, beyond %d", s.triples[i+1], exponentMax)
		}
		numbers[i/3] = billing.Field{Key: key, Text: d.arena.copy(d.scratch)}
	}
	e.Data = fields
	return sortFields(fields)
}

// dataString returns a string of the batch that an event's data names.
func (d *Decoder) dataString(index int64) (string, *Problem) {
	if index < 0 || index >= int64(len(d.packed.strings)) {
		return "", problem(ReasonUndecodableEvent, "event: its data names string %d, the batch has %d", index, len(d.packed.strings))
	}
	return d.packed.strings[index].text, nil
}

// uvarint reads a varint at b[i] and returns it with the place behind it, -1 if it is broken.
func uvarint(b []byte, i int) (v uint64, next int) {
	for shift := 0; i < len(b) && shift < 64; shift += 7 {
		c := b[i]
		i++
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if shift == 63 && c > 1 {
				break
			}
			return v, i
		}
	}
	return 0, -1
}

// chunk returns where the length-delimited value at b[i] starts and ends; the end is -1 if it is broken.
func chunk(b []byte, i int) (start, end int) {
	if i < len(b) && int(b[i]) < 0x80 && int(b[i]) < len(b)-i {
		return i + 1, i + 1 + int(b[i])
	}
	size, start := uvarint(b, i)
	if start < 0 || size > uint64(len(b)-start) {
		return 0, -1
	}
	return start, start + int(size)
}

// skip returns the place behind a field that is not known, -1 if it is broken.
func skip(b []byte, i int) int {
	number, _, n := protowire.ConsumeField(b[i:])
	if n < 0 || number > protowire.MaxValidNumber {
		return -1
	}
	return i + n
}
