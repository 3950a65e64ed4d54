package cloud

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// Format is a body format of usage messages.
type Format int

// The body formats.
const (
	Packed Format = iota // tollway.v1.UsageBatch
	Array                // a JSON array of CloudEvents
	Single               // one CloudEvent a message
)

// String is the format's name.
func (f Format) String() string {
	return [...]string{"packed", "array", "single"}[f]
}

// Stretch says which events Messages makes, and how they are divided.
type Stretch struct {
	From, To   int // events, To excluded
	Partitions int
	PerMessage int // events in a message, but for Single
}

// maker makes the messages of a stretch.
type maker interface {
	add(c *choice, partition int)
	take(partition int) []byte // the message, which is the caller's; the next one begins
}

// Messages makes the bodies that carry a stretch of events and hands them to
// send, each partition's in order. The body is send's to keep.
func (w *World) Messages(f Format, s Stretch, send func(partition int, body []byte) error) error {
	if s.Partitions < 1 || s.PerMessage < 1 || s.From < 0 {
		return fmt.Errorf("no messages of %d events in %d partitions from event %d on", s.PerMessage, s.Partitions, s.From)
	}
	var m maker
	perMessage := s.PerMessage
	switch f {
	case Packed:
		m = newPacker(w, s.Partitions)
	case Array:
		m = newWriter(w, s.Partitions, true)
	default:
		m, perMessage = newWriter(w, s.Partitions, false), 1
	}
	partitions := make([]uint16, w.accounts)
	for a := range partitions {
		partitions[a] = uint16(billing.Partition(w.Account(a), s.Partitions))
	}
	counts := make([]int, s.Partitions)
	for i := s.From; i < s.To; i++ {
		c := w.choose(i)
		p := int(partitions[c.account])
		m.add(&c, p)
		if counts[p]++; counts[p] == perMessage {
			counts[p] = 0
			if err := send(p, m.take(p)); err != nil {
				return err
			}
		}
	}
	for p, n := range counts {
		if n == 0 {
			continue
		}
		if err := send(p, m.take(p)); err != nil {
			return err
		}
	}
	return nil
}

// packer makes packed batches, byte for byte those that ingest.Packer makes of
// the same events. It knows which strings there can be, so that looking one up
// is reading an array.
type packer struct {
	world    *World
	batches  []batch
	accounts []known // by account; an account has one partition
	begun    uint32  // batches begun so far
}

// known is a string's place in the batch of a number.
type known struct{ batch, index uint32 }

// batch is a message being made.
type batch struct {
	number  uint32
	base    int64
	strings []byte
	events  []byte
	count   uint32 // strings
	source  uint32
	types   [Meters]uint32
	region  uint32
	regions [len(regions)]uint32
	units   uint32
}

// Tags of tollway.v1.UsageBatch and of its events.
const (
	tagStrings, tagBase, tagEvents                                            = 1<<3 | 2, 2 << 3, 3<<3 | 2
	tagSource, tagID, tagType, tagAccount, tagTimeDelta, tagPairs, tagTriples = 1 << 3, 2<<3 | 2, 3 << 3, 4 << 3, 5 << 3, 6<<3 | 2, 7<<3 | 2
)

func newPacker(w *World, partitions int) *packer {
	p := &packer{world: w, batches: make([]batch, partitions), accounts: make([]known, w.accounts)}
	for i := range p.batches {
		p.begin(&p.batches[i])
	}
	return p
}

// begin empties a batch for the next message.
func (p *packer) begin(b *batch) {
	p.begun++
	*b = batch{number: p.begun, strings: append(b.strings[:0], tagStrings, 0), events: b.events[:0], count: 1}
}

// intern appends a string that the batch does not have yet, if at is 0, and
// returns its place.
func (b *batch) intern(at *uint32, text string) uint32 {
	if *at == 0 {
		b.strings = append(append(b.strings, tagStrings, byte(len(text))), text...)
		*at = b.count
		b.count++
	}
	return *at
}

func (p *packer) add(c *choice, partition int) {
	b := &p.batches[partition]
	if len(b.events) == 0 {
		b.base = c.at
	}
	e := append(b.events, tagEvents, 0) // the length comes last; it fits a byte
	start := len(e)
	e = binary.AppendUvarint(append(e, tagSource), uint64(b.intern(&b.source, source)))
	e = append(e, tagID, 0)
	id := len(e)
	e = strconv.AppendInt(append(e, idPrefix...), int64(idBase+c.id), 10)
	e[id-1] = byte(len(e) - id)
	e = binary.AppendUvarint(append(e, tagType), uint64(b.intern(&b.types[c.meter], p.world.types[c.meter])))
	e = binary.AppendUvarint(append(e, tagAccount), uint64(p.account(b, c.account)))
	if delta := c.at - b.base; delta != 0 {
		e = binary.AppendVarint(append(e, tagTimeDelta), delta)
	}
	e = append(e, tagPairs, 0)
	pairs := len(e)
	e = binary.AppendUvarint(e, uint64(b.intern(&b.region, keyRegion)))
	e = binary.AppendUvarint(e, uint64(b.intern(&b.regions[c.region], regions[c.region])))
	e[pairs-1] = byte(len(e) - pairs)
	e = append(e, tagTriples, 0)
	triples := len(e)
	e = binary.AppendVarint(e, int64(b.intern(&b.units, KeyUnits)))
	e = append(e, 0) // the scale
	e = binary.AppendVarint(e, int64(c.quantity))
	e[triples-1] = byte(len(e) - triples)
	e[start-1] = byte(len(e) - start)
	b.events = e
}

// account interns an account's id.
func (p *packer) account(b *batch, n int) uint32 {
	k := &p.accounts[n]
	if k.batch != b.number {
		*k = known{b.number, b.count}
		b.count++
		b.strings = appendAccount(append(b.strings, tagStrings, byte(len(accountPrefix)+accountDigits)), n)
	}
	return k.index
}

func (p *packer) take(partition int) []byte {
	b := &p.batches[partition]
	body := make([]byte, 0, len(b.strings)+len(b.events)+1+binary.MaxVarintLen64)
	body = append(body, b.strings...)
	body = binary.AppendVarint(append(body, tagBase), b.base)
	body = append(body, b.events...)
	p.begin(b)
	return body
}

// writer makes JSON, byte for byte what ingest.AppendJSON makes of the same
// events.
type writer struct {
	world  *World
	array  bool
	bodies [][]byte
}

func newWriter(w *World, partitions int, array bool) *writer {
	return &writer{world: w, array: array, bodies: make([][]byte, partitions)}
}

func (w *writer) add(c *choice, partition int) {
	b := w.bodies[partition]
	switch {
	case !w.array:
	case len(b) == 0:
		b = append(b, '[')
	default:
		b = append(b, ',')
	}
	b = append(b, `{"specversion":"1.0","id":"`+idPrefix...)
	b = strconv.AppendInt(b, int64(idBase+c.id), 10)
	b = append(b, `","source":"`+source+`","type":"`...)
	b = append(b, w.world.types[c.meter]...)
	b = append(b, `","subject":"`...)
	b = appendAccount(b, c.account)
	b = append(b, `","time":"`...)
	b = time.Unix(0, c.at).UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","datacontenttype":"application/json","data":{"`+keyRegion+`":"`...)
	b = append(b, regions[c.region]...)
	b = append(b, `","`+KeyUnits+`":"`...)
	b = strconv.AppendInt(b, int64(c.quantity), 10)
	w.bodies[partition] = append(b, `"}}`...)
}

func (w *writer) take(partition int) []byte {
	body := w.bodies[partition]
	w.bodies[partition] = make([]byte, 0, cap(body))
	if w.array {
		body = append(body, ']')
	}
	return body
}
