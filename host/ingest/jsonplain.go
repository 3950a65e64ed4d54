package ingest

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/tollway/tollway/sdk/billing"
)

// This file is the short way through JSON: it reads, in place, events as nearly all are written, and leaves all others to
// the long way in json.go. It takes nothing that the long way would not take in the same way, and it never says what is
// wrong with an event: that is the long way's part, too.
//
// It leaves alone: strings with escapes, objects and arrays anywhere but in data itself, data_base64, more than a few
// attributes that nobody reads or fields that are null, times that are not written plainly, and everything bad.

// unreadMax is how many attributes that are not read, and fields that are null, an event may have. Their names are kept
// because none may be there twice.
const unreadMax = 8

// plainMembers are the members of one CloudEvent.
type plainMembers struct {
	text   [attrData][]byte // of those that are strings; nil for null
	seen   uint32           // a bit for each attribute
	data   bool             // data was an object; its fields are in Decoder.fields
	unread [unreadMax][]byte
	others int // of unread
}

// plainEvent reads the CloudEvent that begins at b[i] into e, which may then hold anything if it reports -1: the event must
// go the long way. Else it returns the place behind the event.
func (d *Decoder) plainEvent(b []byte, i int, e *Event) (next int) {
	if i >= len(b) || b[i] != '{' {
		return -1
	}
	m := &d.plain
	m.text, m.seen, m.data, m.others = [attrData][]byte{}, 0, false, 0
	d.fields = d.fields[:0]
	for more := byte(','); more == ','; {
		start, end := nameAt(b, i+1)
		if end < 0 {
			return -1
		}
		if i = d.plainMember(b, b[start:end], space(b, behindColon(b, end+1))); i < 0 {
			return -1
		}
		if i = space(b, i); i >= len(b) {
			return -1
		}
		if more = b[i]; more != ',' && more != '}' {
			return -1
		}
	}
	if !d.plainAssemble(e) {
		return -1
	}
	return i + 1
}

// plainMember reads the value at b[i] of a member, and returns the place behind it.
func (d *Decoder) plainMember(b, name []byte, i int) (next int) {
	if i >= len(b) {
		return -1
	}
	m := &d.plain
	a, known := plainAttribute(name)
	if !known {
		return m.pass(b, name, i)
	}
	if m.seen&(1<<a) != 0 {
		return -1
	}
	m.seen |= 1 << a
	switch c := b[i]; {
	case c == 'n':
		return literal(b, i, "null") // null means absent
	case a < attrData && c == '"':
		end := stringEnd(b, i+1)
		if end < 0 {
			return -1
		}
		m.text[a] = b[i+1 : end]
		return end + 1
	case a == attrData && c == '{':
		m.data = true
		return d.plainData(b, i)
	}
	return -1
}

// plainArray appends the events of an array to dst. An element that is not plain goes the long way, and the whole message
// does, which ok says, where elements cannot be told apart or there are too many.
func (d *Decoder) plainArray(b []byte, dst []Event) (events []Event, ok bool) {
	start := len(dst)
	i := space(b, 0)
	if i >= len(b) || b[i] != '[' {
		return dst, false
	}
	if i = space(b, i+1); i < len(b) && b[i] == ']' {
		return dst, space(b, i+1) == len(b)
	}
	for {
		if len(dst)-start == MessageEventsMax {
			return dst[:start], false
		}
		dst = append(dst, Event{})
		next := d.plainEvent(b, i, &dst[len(dst)-1])
		if next < 0 {
			size := d.elementSize(b[i:])
			if next = i + size; size == 0 {
				return dst[:start], false
			}
			dst = d.decodeLong(b[i:next], dst[:len(dst)-1])
		}
		dst[len(dst)-1].Index = len(dst) - 1 - start
		switch i = space(b, next); {
		case i < len(b) && b[i] == ',':
			i = space(b, i+1)
		case i < len(b) && b[i] == ']' && space(b, i+1) == len(b):
			return dst, true
		default:
			return dst[:start], false
		}
	}
}

// elementSize returns the length of the JSON value that b begins with, as the lenient reading has it, and 0 if there is none
// or if it is large: what the nesting within the array around it means for it, only the long way knows.
func (d *Decoder) elementSize(b []byte) int {
	const sizeMax = 10_000 // bytes, fewer than the parentheses that the JSON decoder lets be nested
	d.data.openLenient(b)
	value, err := d.data.ReadValue()
	if err != nil || len(value) > sizeMax {
		return 0
	}
	return len(value)
}

// plainAttribute is attributeNamed in fewer steps.
func plainAttribute(name []byte) (a attribute, known bool) {
	switch string(name) {
	case "specversion":
		return attrSpecVersion, true
	case "id":
		return attrID, true
	case "source":
		return attrSource, true
	case "type":
		return attrType, true
	case "subject":
		return attrSubject, true
	case "time":
		return attrTime, true
	case "datacontenttype":
		return attrContentType, true
	case "data":
		return attrData, true
	case "data_base64":
		return attrDataBase64, true
	}
	return 0, false
}

// pass passes the value of a member that is not read.
func (m *plainMembers) pass(b, name []byte, i int) (next int) {
	for _, before := range m.unread[:m.others] {
		if string(before) == string(name) {
			return -1
		}
	}
	if m.others == unreadMax {
		return -1
	}
	m.unread[m.others] = name
	m.others++
	switch b[i] {
	case '"':
		if i = stringEnd(b, i+1); i < 0 {
			return -1
		}
		return i + 1
	case 't':
		return literal(b, i, "true")
	case 'f':
		return literal(b, i, "false")
	case 'n':
		return literal(b, i, "null")
	}
	_, _, next = numberEnd(b, i)
	return next
}

// plainAssemble makes the event of its members.
func (d *Decoder) plainAssemble(e *Event) bool {
	m := &d.plain
	if string(m.text[attrSpecVersion]) != "1.0" {
		return false
	}
	e.ID, e.Source, e.Type = stringOf(m.text[attrID]), stringOf(m.text[attrSource]), stringOf(m.text[attrType])
	e.Account = stringOf(m.text[attrSubject])
	if !goodAttribute(e.ID) || !goodAttribute(e.Source) || !goodAttribute(e.Type) {
		return false
	}
	var ok bool
	if e.AccountHash, ok = goodAccount(e.Account); !ok {
		return false
	}
	if e.Time, ok = plainTime(m.text[attrTime]); !ok {
		return false
	}
	e.Data = nil
	if m.data {
		if contentType := m.text[attrContentType]; contentType != nil && !isJSON(stringOf(contentType)) {
			return false
		}
		e.Data = d.arena.keep(d.fields)
	}
	e.Index, e.Problem = 0, nil
	d.hash(e)
	return true
}

// goodAttribute is checkAttribute for what is good.
func goodAttribute(text string) bool {
	return len(text)-1 < AttributeBytesMax && len(text) > 0 && printable(text)
}

// goodAccount is checkAccount for what is good, with the account's TokenHash.
func goodAccount(text string) (token uint32, ok bool) {
	token, err := billing.AccountID(text).ValidTokenHash()
	return token, err == nil && printable(text)
}

// plainData reads the data object that begins at b[i] into d.fields, sorted, and returns the place behind it.
func (d *Decoder) plainData(b []byte, i int) (next int) {
	var nulls [unreadMax]string
	null := nulls[:0]
	d.fields = d.fields[:0]
	if i = space(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for i--; ; {
		start, end := nameAt(b, i+1)
		if end < 0 {
			return -1
		}
		key := stringOf(b[start:end])
		text, next := d.plainValue(b, space(b, behindColon(b, end+1)))
		switch {
		case next < 0:
			return -1
		case text != nil:
			if len(d.fields) == DataFieldsMax {
				return -1
			}
			d.fields = append(d.fields, billing.Field{Key: key, Text: stringOf(text)})
		case len(null) == unreadMax:
			return -1
		default:
			null = append(null, key)
		}
		if i = space(b, next); i >= len(b) || b[i] != ',' {
			break
		}
	}
	if i >= len(b) || b[i] != '}' || !d.plainSort(null) {
		return -1
	}
	return i + 1
}

// plainDataBody reads a data object that is all of b.
func (d *Decoder) plainDataBody(b []byte) bool {
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return false
	}
	next := d.plainData(b, i)
	return next >= 0 && space(b, next) == len(b)
}

// plainSort sorts the fields, and reports false if one of them, or of those that are null, is there twice.
func (d *Decoder) plainSort(null []string) bool {
	for i, key := range null {
		for _, other := range null[:i] {
			if key == other {
				return false
			}
		}
		for k := range d.fields {
			if d.fields[k].Key == key {
				return false
			}
		}
	}
	return sortFields(d.fields) == nil
}

// plainValue returns the canonical text of the field's value at b[i], nil for null, and the place behind it.
func (d *Decoder) plainValue(b []byte, i int) (text []byte, next int) {
	if i >= len(b) {
		return nil, -1
	}
	switch b[i] {
	case '"':
		end := stringEnd(b, i+1)
		if end < 0 {
			return nil, -1
		}
		return b[i+1 : end], end + 1
	case 't':
		next = literal(b, i, "true")
	case 'f':
		next = literal(b, i, "false")
	case 'n':
		return nil, literal(b, i, "null")
	default:
		return d.plainNumber(b, i)
	}
	if next < 0 {
		return nil, -1
	}
	return b[i:next], next
}

// plainNumber returns the canonical text of the number at b[i], which mostly is a part of it.
func (d *Decoder) plainNumber(b []byte, i int) (text []byte, next int) {
	whole, mantissa, end := numberEnd(b, i)
	if end < 0 {
		return nil, -1
	}
	const plainDigits = plainMax - 4 // with sign and point surely not too many
	if mantissa < end || end-i > plainDigits {
		kept, ok := appendNumber(d.scratch[:0], b[i:end])
		if d.scratch = kept; !ok {
			return nil, -1
		}
		own := d.arena.text.take(len(kept), textBlockBytes)
		copy(own, kept)
		return own, end
	}
	if whole < mantissa { // a fraction
		for b[mantissa-1] == '0' {
			mantissa--
		}
		if b[mantissa-1] == '.' {
			mantissa--
		}
	}
	if b[i] == '-' && b[i+1] == '0' && mantissa == i+2 {
		i++ // zero has no sign
	}
	return b[i:mantissa], end
}

// numberEnd returns where the number at b[i] ends, and before that its whole digits and its mantissa; -1 if it is none.
func numberEnd(b []byte, i int) (whole, mantissa, end int) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	first := i
	i = digitsEnd(b, i)
	if i == first || b[first] == '0' && i > first+1 {
		return 0, 0, -1
	}
	whole = i
	if i < len(b) && b[i] == '.' {
		first = i + 1
		if i = digitsEnd(b, first); i == first {
			return 0, 0, -1
		}
	}
	mantissa = i
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		first = i
		if i = digitsEnd(b, first); i == first {
			return 0, 0, -1
		}
	}
	return whole, mantissa, i
}

func digitsEnd(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// nameAt returns where the name that stands at b[i], perhaps behind white space, starts and ends; the end is -1 if there
// is none.
func nameAt(b []byte, i int) (start, end int) {
	if i = space(b, i); i >= len(b) || b[i] != '"' {
		return 0, -1
	}
	return i + 1, stringEnd(b, i+1)
}

// behindColon returns the place behind the colon at b[i], perhaps behind white space, or the end of b if there is none.
func behindColon(b []byte, i int) int {
	if i = space(b, i); i >= len(b) || b[i] != ':' {
		return len(b)
	}
	return i + 1
}

// space returns the place behind white space.
func space(b []byte, i int) int {
	if i < len(b) && b[i] > ' ' {
		return i
	}
	return longSpace(b, i)
}

func longSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// literal returns the place behind a word that stands at b[i], -1 if another does.
func literal(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// stringEnd returns the place of the quotation mark that ends the string whose text begins at b[i], -1 if the string has
// escapes, control characters or invalid UTF-8, or no end.
func stringEnd(b []byte, i int) int {
	start := i
	for ; i+8 <= len(b); i += 8 {
		// Eight bytes at a time, the lowest bit set is of the first that is not plain text: see unprintable.
		v := binary.LittleEndian.Uint64(b[i:])
		quote, slash := v^'"'*everyByte, v^'\\'*everyByte
		odd := v | (v - ' '*everyByte) | (quote - everyByte) | (slash - everyByte)
		if odd &= 0x80 * everyByte; odd != 0 {
			i += bits.TrailingZeros64(odd) / 8
			break
		}
	}
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i
		case c == '\\' || c < ' ':
			return -1
		case c >= utf8.RuneSelf:
			return unicodeEnd(b, start, i)
		}
	}
	return -1
}

// unicodeEnd is stringEnd for a string that is not ASCII alone, from b[i] on.
func unicodeEnd(b []byte, start, i int) int {
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			if !utf8.Valid(b[start:i]) {
				return -1
			}
			return i
		case c == '\\' || c < ' ':
			return -1
		}
	}
	return -1
}
