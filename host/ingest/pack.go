package ingest

import (
	"errors"
	"fmt"

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

	index   map[string]uint32 // where in the batch each string is
	strings []byte            // the encoded strings fields
	events  []byte            // the encoded events fields
	count   int               // events added
	base    int64             // base_time_unix_nano: the time of the first event

	added   []string // strings that the event being added brought
	scratch []byte   // the event being added
	pairs   []byte   // its text
	triples []byte   // its number
}

// NewPacker returns a Packer of messages of at most bytesMax bytes, or of BodyBytesMax, which no reader exceeds, if
// bytesMax is not between 1 and that.
func NewPacker(bytesMax int) *Packer {
	if bytesMax < 1 || bytesMax > BodyBytesMax {
		bytesMax = BodyBytesMax
	}
	p := &Packer{bytesMax: bytesMax, index: make(map[string]uint32)}
	p.reset()
	return p
}

// Len returns the number of events in the message being built.
func (p *Packer) Len() int { return p.count }

// Size returns the number of bytes that the message being built will have.
func (p *Packer) Size() int {
	return len(p.strings) + len(p.events) + sizeBase(p.base)
}

// Add adds an event. It returns ErrFull if the event does not fit beside those already added, a *Problem if no reader
// would accept the event, and another error if the event alone is longer than a message may be. After any error the
// Packer is as it was.
func (p *Packer) Add(e *billing.UsageEvent) error {
	if problem := Validate(e); problem != nil {
		return problem
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
	stringsBefore := len(p.strings)
	p.encode(e, delta)
	size := len(p.strings) + len(p.events) + sizeBase(base) + protowire.SizeTag(3) + protowire.SizeBytes(len(p.scratch))
	if size > p.bytesMax || len(p.index) > BatchStringsMax {
		p.forget(stringsBefore)
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

// forget takes back the strings that the event being added brought.
func (p *Packer) forget(stringsBefore int) {
	for _, text := range p.added {
		delete(p.index, text)
	}
	p.strings = p.strings[:stringsBefore]
}

// AppendMessage appends the message with all events added to dst, and empties the Packer for the next one. A Packer
// without events appends nothing.
func (p *Packer) AppendMessage(dst []byte) []byte {
	if p.count == 0 {
		return dst
	}
	dst = append(dst, p.strings...)
	dst = protowire.AppendVarint(protowire.AppendVarint(dst, tagBase), protowire.EncodeZigZag(p.base))
	dst = append(dst, p.events...)
	p.reset()
	return dst
}

func (p *Packer) reset() {
	clear(p.index)
	p.index[""] = 0
	p.strings = protowire.AppendBytes(protowire.AppendVarint(p.strings[:0], tagStrings), nil)
	p.events = p.events[:0]
	p.count, p.base = 0, 0
}

func sizeBase(base int64) int {
	return protowire.SizeTag(2) + protowire.SizeVarint(protowire.EncodeZigZag(base))
}

// encode writes the event's message into p.scratch, and strings that the batch does not have yet into p.strings.
func (p *Packer) encode(e *billing.UsageEvent, delta int64) {
	p.added, p.pairs, p.triples = p.added[:0], p.pairs[:0], p.triples[:0]
	b := appendField32(p.scratch[:0], tagSource, p.intern(e.Source))
	b = protowire.AppendString(protowire.AppendVarint(b, tagID), e.ID)
	b = appendField32(b, tagType, p.intern(e.Type))
	b = appendField32(b, tagAccount, p.intern(string(e.Account)))
	if delta != 0 {
		b = protowire.AppendVarint(protowire.AppendVarint(b, tagTimeDelta), protowire.EncodeZigZag(delta))
	}
	for i := range e.Data {
		f := &e.Data[i]
		if unscaled, scale, ok := scaled(f.Text); ok {
			p.triples = protowire.AppendVarint(p.triples, protowire.EncodeZigZag(int64(p.intern(f.Key))))
			p.triples = protowire.AppendVarint(p.triples, protowire.EncodeZigZag(scale))
			p.triples = protowire.AppendVarint(p.triples, protowire.EncodeZigZag(unscaled))
			continue
		}
		p.pairs = protowire.AppendVarint(p.pairs, uint64(p.intern(f.Key)))
		p.pairs = protowire.AppendVarint(p.pairs, uint64(p.intern(f.Text)))
	}
	if len(p.pairs) > 0 {
		b = protowire.AppendBytes(protowire.AppendVarint(b, tagText), p.pairs)
	}
	if len(p.triples) > 0 {
		b = protowire.AppendBytes(protowire.AppendVarint(b, tagNumber), p.triples)
	}
	p.scratch = b
}

// appendField32 writes a uint32 field, which protobuf leaves out when it is zero.
func appendField32(b []byte, tag uint64, v uint32) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendVarint(b, tag), uint64(v))
}

// intern returns where in the batch a string is, adding it if it is not there.
func (p *Packer) intern(text string) uint32 {
	if i, ok := p.index[text]; ok {
		return i
	}
	i := uint32(len(p.index))
	p.index[text] = i
	p.added = append(p.added, text)
	p.strings = protowire.AppendString(protowire.AppendVarint(p.strings, tagStrings), text)
	return i
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
