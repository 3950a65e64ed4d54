package accumulate

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/tollway/tollway/host/rate"
)

// Tables of a partition's state in the checkpoint store.
const (
	TablePlans uint8 = 1 // plan number → rate.Plan as JSON
	TableTerms uint8 = 2 // terms number → rate.Terms as JSON, its plan by number; loaded behind the plans
	// TableCarries has what slots were left by the period or version before: slot number →
	// the bytes. TableParked has what stands in the way of invoices: see Parked.
	TableCarries uint8 = 3
	TableParked  uint8 = 4
	// TableReopened has what is known of closed periods that were changed: see
	// Reopened. TableRules has by which catalog's invoice rules periods were closed.
	TableReopened uint8 = 5
	TableRules    uint8 = 6
	// TableOverrides has what has become of events after they were priced: identity →
	// Override as JSON.
	TableOverrides uint8 = 7
	// TableAlerts has which thresholds accounts have reached in open periods: see
	// Alerted.
	TableAlerts uint8 = 8
)

// Logs of a partition in the checkpoint store, their entries numbered from 1.
const (
	LogDeadLetters uint8 = 0 // DeadLetter as JSON
	LogInvoices    uint8 = 1 // export.Invoice as JSON
	LogSlots       uint8 = 2 // a journal: records of slots, see below
	Logs                 = 3 // how many there are, but for the next; the set of identities has those behind

	LogVerdicts uint8 = 6 // Verdict as JSON
	// LogIndex is a journal: which stretches of the log have events of which accounts.
	// What is in it hangs on restarts, and no figure hangs on it.
	LogIndex uint8 = 7
	// LogAlerts has the alerts that were fired: Alert as JSON.
	LogAlerts uint8 = 8
)

// An entry of the journal of slots is the version, one byte, and records:
//
//	kind     1 byte: 0 void, 1 short, 2 full
//	number   4 bytes, little endian: of the slot, from 0
//	length   uvarint: of what follows
//	terms    uvarint: number      full only
//	account  uvarint length, id   full only
//	group    uvarint length, key  full only
//	flags    1 byte: 1 final
//	events   uvarint
//	last     8 bytes, little endian: time, unix ns
//	lines    uvarint: how many; two decimals each, see putDecimal
//	state    the rest
//
// Of the records of a slot the last counts. A void one counts for nothing.
const (
	recordVersion byte = 1

	recordVoid  byte = 0
	recordShort byte = 1
	recordFull  byte = 2

	flagFinal byte = 1
)

// errRecord reports bytes that this package did not write.
var errRecord = errors.New("accumulate: malformed record")

// linesMax is more than a slot can have; beyond it a count is damage.
const linesMax = 1 << 16

// lengthRoom is how many bytes a record's length has room for while the rest is
// written.
const lengthRoom = 1

// appendRecord writes what a slot is.
func appendRecord(b []byte, kind byte, l *rate.Live) []byte {
	first := len(b)
	b = slices.Grow(b, recordRoom(kind, l))
	w := b[first:cap(b)]
	w[0] = kind
	binary.LittleEndian.PutUint32(w[1:], l.Number)
	const body = 5 + lengthRoom // the length of most; a longer one moves the rest
	at := body
	if kind == recordFull {
		at += putUvarint(w[at:], uint64(l.Terms().Number))
		at += putString(w[at:], l.Account().ID())
		at += putString(w[at:], l.Group())
	}
	w[at] = 0
	if l.Final {
		w[at] = flagFinal
	}
	at += 1 + putUvarint(w[at+1:], l.Events)
	binary.LittleEndian.PutUint64(w[at:], uint64(l.LastTime))
	at += 8
	data := l.Data()
	lines := min(len(l.Terms().Plan.Lines), len(data)/rate.LineBytes)
	at += putUvarint(w[at:], uint64(lines))
	for range 2 * lines {
		at += putDecimal(w[at:], data)
		data = data[decimalBytes:]
	}
	at += copy(w[at:], data)
	if n := at - body; n < 1<<7 {
		w[body-lengthRoom] = byte(n)
	} else {
		var length [binary.MaxVarintLen64]byte
		size := binary.PutUvarint(length[:], uint64(n))
		copy(w[body-lengthRoom+size:], w[body:at])
		copy(w[body-lengthRoom:], length[:size])
		at += size - lengthRoom
	}
	return b[:first+at]
}

// recordRoom is at least the length of a slot's record.
func recordRoom(kind byte, l *rate.Live) int {
	const numbers, perLine = 96, 2 // beside the slot's bytes
	data := len(l.Data())
	room := numbers + data + data/rate.LineBytes*perLine
	if kind == recordFull {
		room += len(l.Account().ID()) + len(l.Group())
	}
	return room
}

// recordLen returns the length of the record that b begins with, which this
// package wrote.
func recordLen(b []byte) int {
	n, size := binary.Uvarint(b[5:])
	return 5 + size + int(n)
}

// putUvarint writes a number and returns its length.
func putUvarint(b []byte, v uint64) int {
	if v < 1<<7 {
		b[0] = byte(v)
		return 1
	}
	return binary.PutUvarint(b, v)
}

// putString writes a string with its length before it, and returns how long that is.
func putString(b []byte, s string) int {
	n := putUvarint(b, uint64(len(s)))
	return n + copy(b[n:], s)
}

// decimalBytes is the size of a decimal as plugins have it.
const decimalBytes = 16

// putDecimal writes a decimal, 16 bytes little endian, without the bytes that only
// repeat its sign: the number of the others, and those. It returns how many that
// are. Behind them it may write more, 17 bytes in all.
func putDecimal(b, decimal []byte) int {
	lo, hi := binary.LittleEndian.Uint64(decimal), binary.LittleEndian.Uint64(decimal[8:])
	sign := uint64(int64(hi) >> 63)
	n := 0
	switch {
	case hi != sign:
		n = 8 + (bits.Len64(hi^sign)+8)/8 // one bit more, for the sign
	case int64(lo)>>63 != int64(sign):
		n = 9
	case lo != 0:
		n = (bits.Len64(lo^sign) + 8) / 8
	}
	b = b[:1+decimalBytes]
	b[0] = byte(n)
	binary.LittleEndian.PutUint64(b[1:], lo)
	binary.LittleEndian.PutUint64(b[9:], hi)
	return 1 + n
}

// reader takes a record apart; the first misfit makes every later read empty.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }

func (r *reader) u8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) i64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// appendDecimal reads what putDecimal wrote, and appends it in the form in which
// plugins have it.
func (r *reader) appendDecimal(dst []byte) []byte {
	n := uint64(r.u8())
	b := r.take(n)
	if n > decimalBytes {
		r.bad = true
		return dst
	}
	var full [decimalBytes]byte
	if copy(full[:], b) > 0 && b[n-1]&0x80 != 0 {
		for i := n; i < decimalBytes; i++ {
			full[i] = 0xff
		}
	}
	return append(dst, full[:]...)
}

// content reads what is behind the names in a record; data is memory for the lines
// and the state. ok is false for what this package did not write.
func (r *reader) content(data []byte) (c rate.Content, ok bool) {
	flags := r.u8()
	c.Final = flags == flagFinal
	c.Events, c.LastTime = r.uvarint(), r.i64()
	lines := r.uvarint()
	if flags > flagFinal || lines > linesMax {
		return c, false
	}
	for n := 2 * lines; n > 0 && !r.bad; n-- {
		data = r.appendDecimal(data)
	}
	c.Data = append(data, r.b...)
	return c, !r.bad
}

// encodePlan writes a plan: the same plan, the same bytes.
func encodePlan(p *rate.Plan) ([]byte, error) { return json.Marshal(p) }

// termsJSON is rate.Terms as it is written.
type termsJSON struct {
	Subscription string        `json:"subscription"`
	Tariff       string        `json:"tariff"`
	Version      int64         `json:"version"`
	Period       int64         `json:"period"`
	PeriodEnd    int64         `json:"period_end"`
	ActiveFrom   int64         `json:"active_from"`
	ActiveUntil  int64         `json:"active_until"`
	Calendar     rate.Calendar `json:"calendar"`
	Plan         uint32        `json:"plan"`
}

// encodeTerms writes terms: the same terms, the same bytes.
func encodeTerms(t *rate.Terms, plan uint32) ([]byte, error) {
	return json.Marshal(termsJSON{
		Subscription: t.Subscription, Tariff: t.Tariff, Version: t.Version, Period: t.Period, PeriodEnd: t.PeriodEnd,
		ActiveFrom: t.ActiveFrom, ActiveUntil: t.ActiveUntil, Calendar: t.Calendar, Plan: plan,
	})
}

// number returns a table's key as a number that comes behind n others.
func nextNumber(key []byte, n int) (uint32, error) {
	if len(key) != 4 || binary.BigEndian.Uint32(key) != uint32(n+1) {
		return 0, fmt.Errorf("%w: key %x behind %d entries", errRecord, key, n)
	}
	return uint32(n + 1), nil
}
