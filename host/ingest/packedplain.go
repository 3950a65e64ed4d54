package ingest

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tollway/tollway/sdk/billing"
)

// shapesMax is how many kinds of events of a batch are remembered by their shapes, and shapeFieldsMax how many fields those
// may have.
const (
	shapesMax      = 16
	shapeFieldsMax = 32
)

// shape is the list of keys that an event's data had, in the order of the wire. Events of one type have the same one most of
// the time, so that sorting the fields and looking up the keys is done once.
type shape struct {
	texts  int // as many of the fields, the first, have texts, the others numbers
	fields []shapeField
}

type shapeField struct {
	wire  uint64 // the number by which the event names the key: its index among the batch's strings, zigzag for numbers
	place int    // of the field in the sorted data
	key   string
	word  uint64 // of key
}

// behindKey returns the place behind the key at b[i], -1 if another one stands there.
func (f *shapeField) behindKey(b []byte, i int) int {
	if i < len(b) && uint64(b[i]) == f.wire && f.wire < 0x80 {
		return i + 1
	}
	return f.behindLongKey(b, i)
}

func (f *shapeField) behindLongKey(b []byte, i int) int {
	if v, next := uvarint(b, i); v == f.wire {
		return next
	}
	return -1
}

// plainEvent is one PackedEvent of which every part that is not a number stands on the wire at most once.
type plainEvent struct {
	source, kind, account uint64
	delta                 int64
	id, text, number      []byte
}

// packedPlain reads one event as a Packer writes it, with its hashes, into e. It reports false for an event in another
// encoding, or with anything wrong; e may then hold anything.
func (d *Decoder) packedPlain(message []byte, e *Event) bool {
	var w plainEvent
	if !w.scan(message) {
		return false
	}
	s := &d.packed
	count := uint64(len(s.strings))
	if w.source >= count || w.kind >= count || w.account >= count || !deltaInside(s.base, w.delta) {
		return false
	}
	e.ID = stringOf(w.id)
	if len(w.id) == 0 || len(w.id) > AttributeBytesMax || !printable(e.ID) {
		return false
	}
	source, kind, account := &s.strings[w.source], &s.strings[w.kind], &s.strings[w.account]
	if source.known&inSource == 0 && !d.learnSource(source) ||
		kind.known&inType == 0 && !kind.learnType() ||
		account.known&inAccount == 0 && !d.learnAccount(account) {
		return false
	}
	e.Source, e.Type, e.Account = source.text, kind.text, account.text
	e.AccountHash = account.token
	e.Time = s.base + w.delta
	e.Problem = nil
	d.putIdentity(&e.Identity, e.ID, source.source, account.account)
	words := d.beginContent(kind.word, e.Time)
	if !d.shapedData(&w, &s.shapes[w.kind%shapesMax], e) {
		return false
	}
	words.putContent(&e.Content, len(e.Data))
	return true
}

// scan reads the message, as far as it is plain: its fields in their order.
func (w *plainEvent) scan(b []byte) bool {
	i := 0
	if w.source, i = plainField(b, i, tagSource); i < 0 {
		return false
	}
	if w.id, i = plainBytes(b, i, tagID); i < 0 {
		return false
	}
	if w.kind, i = plainField(b, i, tagType); i < 0 {
		return false
	}
	if w.account, i = plainField(b, i, tagAccount); i < 0 {
		return false
	}
	delta, i := plainField(b, i, tagTimeDelta)
	if i < 0 {
		return false
	}
	w.delta = protowire.DecodeZigZag(delta)
	if w.text, i = plainBytes(b, i, tagText); i < 0 {
		return false
	}
	w.number, i = plainBytes(b, i, tagNumber)
	return i == len(b)
}

// plainField reads the number that stands at b[i] if the tag does, and is 0 if not. The place behind it is -1 if it is
// broken.
func plainField(b []byte, i int, tag byte) (v uint64, next int) {
	if i+1 >= len(b) || b[i] != tag {
		return 0, i
	}
	if c := b[i+1]; c < 0x80 {
		return uint64(c), i + 2
	}
	return uvarint(b, i+1)
}

// plainBytes does the same for a length-delimited value.
func plainBytes(b []byte, i int, tag byte) (value []byte, next int) {
	if i+1 >= len(b) || b[i] != tag {
		return nil, i
	}
	start, size := i+2, uint64(b[i+1])
	if size >= 0x80 {
		if size, start = uvarint(b, i+1); start < 0 {
			return nil, -1
		}
	}
	if size > uint64(len(b)-start) {
		return nil, -1
	}
	return b[start : start+int(size)], start + int(size)
}

// learnSource checks a string of the batch that is a source, the first time it is.
func (d *Decoder) learnSource(s *batchString) bool {
	if checkAttribute("source", s.text) != nil {
		return false
	}
	s.source = d.sourcePart(s.text)
	s.known |= inSource
	return true
}

func (s *batchString) learnType() bool {
	if checkAttribute("type", s.text) != nil {
		return false
	}
	s.learnWord()
	s.known |= inType
	return true
}

func (d *Decoder) learnAccount(s *batchString) bool {
	var ok bool
	if s.token, ok = goodAccount(s.text); !ok {
		return false
	}
	s.account = d.accountPart(s.text)
	s.known |= inAccount
	return true
}

func (s *batchString) learnWord() {
	s.word = word(s.text)
	s.known |= inContent
}

// shapedData makes the event's data of its texts and numbers, and puts the words of their hash.
func (d *Decoder) shapedData(w *plainEvent, s *shape, e *Event) bool {
	e.Data = nil
	if len(w.text)+len(w.number) == 0 {
		return true
	}
	if len(s.fields) > 0 && d.shaped(w, s, e) {
		return true
	}
	return d.learnShape(w, s) && d.shaped(w, s, e)
}

// shaped makes the data of an event that has the shape, and reports false if it has another one.
func (d *Decoder) shaped(w *plainEvent, s *shape, e *Event) bool {
	fields := d.arena.fieldRoom(len(s.fields))
	texts, numbers := s.fields[:s.texts], s.fields[s.texts:]
	b, i := w.text, 0
	for k := range texts {
		f := &texts[k]
		if i = f.behindKey(b, i); i < 0 {
			return false
		}
		var value uint64
		if i < len(b) && b[i] < 0x80 { // as uvarint has it, in place
			value = uint64(b[i])
			i++
		} else if value, i = uvarint(b, i); i < 0 {
			return false
		}
		if value >= uint64(len(d.packed.strings)) {
			return false
		}
		text := &d.packed.strings[value]
		if text.known&inContent == 0 {
			text.learnWord()
		}
		d.field(fields, f, text.text, text.word)
	}
	if i != len(b) {
		return false
	}
	b, i = w.number, 0
	for k := range numbers {
		f := &numbers[k]
		if i = f.behindKey(b, i); i < 0 {
			return false
		}
		var scale, unscaled uint64
		if i < len(b) && b[i] < 0x80 {
			scale = uint64(b[i])
			i++
		} else if scale, i = uvarint(b, i); i < 0 {
			return false
		}
		if unscaled, i = uvarint(b, i); i < 0 {
			return false
		}
		text, ok := d.numberText(protowire.DecodeZigZag(unscaled), protowire.DecodeZigZag(scale))
		if !ok {
			return false
		}
		d.field(fields, f, text, word(text))
	}
	if i != len(b) {
		return false
	}
	e.Data = d.arena.keepFields(fields)
	return true
}

// field puts a field in its place.
func (d *Decoder) field(fields []billing.Field, f *shapeField, text string, word uint64) {
	fields[f.place] = billing.Field{Key: f.key, Text: text}
	at := 2 + 2*f.place
	d.words.put(at, f.word)
	d.words.put(at+1, word)
}

// numberTextMax is more than the text of a packed number can have.
const numberTextMax = 96

// numberText returns the canonical text of a packed number.
func (d *Decoder) numberText(unscaled, scale int64) (string, bool) {
	room := d.arena.room(numberTextMax)
	if scale == 0 {
		return d.arena.keepText(strconv.AppendInt(room, unscaled, 10)), true
	}
	text, ok := appendScaled(room, unscaled, scale)
	if !ok {
		return "", false
	}
	return d.arena.keepText(text), true
}

// learnShape takes over the shape of an event. It reports false for one with too many fields or the same one twice, and for
// bytes that are broken.
func (d *Decoder) learnShape(w *plainEvent, s *shape) bool {
	s.fields = s.fields[:0]
	ok := d.addShapes(s, w.text, 2, 0)
	s.texts = len(s.fields)
	ok = ok && d.addShapes(s, w.number, 3, 1) && s.arrange()
	if !ok {
		s.fields = s.fields[:0]
	}
	return ok
}

// addShapes adds the fields whose keys are the first of every few numbers in b, behind so many bits.
func (d *Decoder) addShapes(s *shape, b []byte, every, shift int) bool {
	for i, n := 0, 0; i < len(b); n++ {
		v, next := uvarint(b, i)
		if next < 0 || n%every == 0 && !d.addShape(s, v, shift) {
			return false
		}
		i = next
	}
	return true
}

// addShape adds a field.
func (d *Decoder) addShape(s *shape, v uint64, shift int) bool {
	index := v >> shift
	if index<<shift != v || index >= uint64(len(d.packed.strings)) || len(s.fields) == shapeFieldsMax {
		return false
	}
	key := &d.packed.strings[index]
	if key.known&inContent == 0 {
		key.learnWord()
	}
	s.fields = append(s.fields, shapeField{wire: v, key: key.text, word: key.word})
	return true
}

// arrange finds the places of the fields in the sorted data. It reports false if two have the same key.
func (s *shape) arrange() bool {
	var order [shapeFieldsMax]int
	sorted := order[:len(s.fields)]
	for i := range sorted {
		sorted[i] = i
	}
	slices.SortFunc(sorted, func(a, b int) int { return strings.Compare(s.fields[a].key, s.fields[b].key) })
	for place, i := range sorted {
		if place > 0 && s.fields[sorted[place-1]].key == s.fields[i].key {
			return false
		}
		s.fields[i].place = place
	}
	return true
}
