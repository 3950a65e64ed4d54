package ingest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tollway/tollway/sdk/billing"
)

// ErrFull says that an event does not fit into the message that a Packer is building any more. The Packer is as it was:
// take the message, then add the event again.
var ErrFull = errors.New("packed batch is full")

// Packer builds packed batches (ContentTypePacked) out of events of one partition. Repeated strings are written once a
// batch and canonical numbers as scaled integers; every event decodes to exactly what was added, digit for digit. A Packer
// belongs to one goroutine and may be used for any number of batches.
type Packer struct {
	bytesMax int

	dictionary dictionaryTable
	events     []byte // the encoded events fields
	count      int    // events added
	base       int64  // base_time_unix_nano: the time of the first event

	last    packedShape // of the event added last, whose strings most events share
	scratch []byte      // the event being added
	pairs   []byte      // its text
	triples []byte      // its number
}

// packedShape is where in the batch the strings are of which events of one kind have the same ones: all of an event that was
// found to be valid.
type packedShape struct {
	source, kind, account uint32
	keys                  []uint32
}

// NewPacker returns a Packer of messages of at most bytesMax bytes, or of BodyBytesMax, which no reader exceeds, if
// bytesMax is not between 1 and that.
func NewPacker(bytesMax int) *Packer {
	if bytesMax < 1 || bytesMax > BodyBytesMax {
		bytesMax = BodyBytesMax
	}
	p := &Packer{bytesMax: bytesMax}
	p.dictionary.seed = maphash.MakeSeed()
	p.reset()
	return p
}

// Len returns the number of events in the message being built.
func (p *Packer) Len() int { return p.count }

// Size returns the number of bytes that the message being built will have.
func (p *Packer) Size() int {
	return len(p.dictionary.fields) + len(p.events) + sizeBase(p.base)
}

// Add adds an event. It returns ErrFull if the event does not fit beside those already added, a *Problem if no reader
// would accept the event, and another error if the event alone is longer than a message may be. After any error the
// Packer is as it was.
func (p *Packer) Add(e *billing.UsageEvent) error {
	if !p.likeLast(e) {
		if problem := Validate(e); problem != nil {
			return problem
		}
	}
	if p.count == MessageEventsMax {
		return ErrFull
	}
	instant := e.Time.UnixNano()
	base := p.base
	if p.count == 0 {
		base = instant
	}
	delta := instant - base
	if (delta > 0) != (instant > base) && instant != base { // centuries apart
		return ErrFull
	}
	before := p.dictionary.len()
	p.encode(e, delta)
	size := len(p.dictionary.fields) + len(p.events) + sizeBase(base) + protowire.SizeTag(3) + protowire.SizeBytes(len(p.scratch))
	if size > p.bytesMax || p.dictionary.len() > BatchStringsMax {
		p.dictionary.shorten(before)
		p.last.forget()
		if p.count > 0 {
			return ErrFull
		}
		return fmt.Errorf("event %s of %s takes %d bytes packed, a message has at most %d", shown(e.ID), shown(e.Source), size, p.bytesMax)
	}
	p.base = base
	p.count++
	p.events = protowire.AppendBytes(protowire.AppendVarint(p.events, tagEvents), p.scratch)
	return nil
}

// likeLast reports whether the event is valid, as far as that can be seen by comparing it with the last one. It compares
// what is shared with events before and looks at the rest.
func (p *Packer) likeLast(e *billing.UsageEvent) bool {
	d, last := &p.dictionary, &p.last
	if !d.is(last.source, e.Source) || !d.is(last.kind, e.Type) || len(e.Data) != len(last.keys) || !goodAttribute(e.ID) ||
		!timeInside(e.Time) {
		return false
	}
	if !d.is(last.account, string(e.Account)) {
		if _, ok := goodAccount(string(e.Account)); !ok {
			return false
		}
	}
	for i := range e.Data {
		if !d.is(last.keys[i], e.Data[i].Key) || !ascii(e.Data[i].Text) && !utf8.ValidString(e.Data[i].Text) {
			return false
		}
	}
	return true
}

// AppendMessage appends the message with all events added to dst, and empties the Packer for the next one. A Packer
// without events appends nothing.
func (p *Packer) AppendMessage(dst []byte) []byte {
	if p.count == 0 {
		return dst
	}
	dst = append(dst, p.dictionary.fields...)
	dst = protowire.AppendVarint(protowire.AppendVarint(dst, tagBase), protowire.EncodeZigZag(p.base))
	dst = append(dst, p.events...)
	p.reset()
	return dst
}

func (p *Packer) reset() {
	p.dictionary.reset()
	p.last.forget()
	p.events = p.events[:0]
	p.count, p.base = 0, 0
}

// forget makes the shape one that no event has.
func (s *packedShape) forget() {
	s.source, s.kind, s.account, s.keys = noString, noString, noString, s.keys[:0]
}

func sizeBase(base int64) int {
	return protowire.SizeTag(2) + protowire.SizeVarint(protowire.EncodeZigZag(base))
}

// encode writes the event's message into p.scratch, and strings that the batch does not have yet into the dictionary.
func (p *Packer) encode(e *billing.UsageEvent, delta int64) {
	d, last := &p.dictionary, &p.last
	b := appendField32(p.scratch[:0], tagSource, d.again(&last.source, e.Source))
	b = append(binary.AppendUvarint(append(b, byte(tagID)), uint64(len(e.ID))), e.ID...)
	b = appendField32(b, tagType, d.again(&last.kind, e.Type))
	b = appendField32(b, tagAccount, d.again(&last.account, string(e.Account)))
	if delta != 0 {
		b = binary.AppendUvarint(append(b, byte(tagTimeDelta)), protowire.EncodeZigZag(delta))
	}
	if len(last.keys) > len(e.Data) {
		last.keys = last.keys[:len(e.Data)]
	}
	pairs, triples := p.pairs[:0], p.triples[:0]
	for i := range e.Data {
		f := &e.Data[i]
		if i == len(last.keys) {
			last.keys = append(last.keys, noString)
		}
		key := d.again(&last.keys[i], f.Key)
		if unscaled, scale, ok := scaled(f.Text); ok {
			triples = binary.AppendUvarint(triples, protowire.EncodeZigZag(int64(key)))
			triples = binary.AppendUvarint(triples, protowire.EncodeZigZag(scale))
			triples = binary.AppendUvarint(triples, protowire.EncodeZigZag(unscaled))
			continue
		}
		pairs = binary.AppendUvarint(pairs, uint64(key))
		pairs = binary.AppendUvarint(pairs, uint64(d.intern(f.Text)))
	}
	b = appendList(appendList(b, tagText, pairs), tagNumber, triples)
	p.scratch, p.pairs, p.triples = b, pairs, triples
}

// appendField32 writes a uint32 field, which protobuf leaves out when it is zero.
func appendField32(b []byte, tag uint64, v uint32) []byte {
	if v == 0 {
		return b
	}
	return binary.AppendUvarint(append(b, byte(tag)), uint64(v))
}

// appendList writes a packed field, which protobuf leaves out when it is empty.
func appendList(b []byte, tag uint64, list []byte) []byte {
	if len(list) == 0 {
		return b
	}
	return append(binary.AppendUvarint(append(b, byte(tag)), uint64(len(list))), list...)
}

// Pack appends one message with all the events, which must be of one partition, to dst. The errors are those of
// Packer.Add, with the place of the event.
func Pack(dst []byte, events []billing.UsageEvent) ([]byte, error) {
	p := NewPacker(BodyBytesMax)
	for i := range events {
		if err := p.Add(&events[i]); err != nil {
			return dst, fmt.Errorf("event %d: %w", i, err)
		}
	}
	return p.AppendMessage(dst), nil
}
