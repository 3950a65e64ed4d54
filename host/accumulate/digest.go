package accumulate

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/zeebo/xxh3"

	"github.com/tollway/tollway/host/internal/memory"
	"github.com/tollway/tollway/host/rate"
)

// IsMalformed reports whether an error says that a record is not one that this
// package wrote.
func IsMalformed(err error) bool { return errors.Is(err, errRecord) }

// DigestVersion begins the digest of a state from which no identity has expired, and
// DigestVersionExpired that of one from which some have: a release that let none expire
// has another digest for the same log then. Digests of different versions say nothing
// about each other.
const (
	DigestVersion        = "1"
	DigestVersionExpired = "2"
)

// ComparableDigests reports whether two digests are of the same version.
func ComparableDigests(a, b string) bool {
	version, _, ok := strings.Cut(a, ":")
	return ok && version != "" && strings.HasPrefix(b, version+":")
}

// Sums are sums of 64-bit hashes (XXH3) over everything that a state holds, one
// for each kind of thing. They are added modulo 2^64, so that no order counts
// and one thing is taken out as easily as it is put in. They find bugs and rot,
// not forgery.
//
// What is summed is what the log decides: slots by their names and not by their
// numbers, records by what they say and not by where they stand. So a state that
// was rebuilt has the sums of the one it replaces.
type Sums struct {
	Slots      Sum `json:"slots"`
	Tables     Sum `json:"tables"` // carries and parked invoices
	Letters    Sum `json:"letters"`
	Invoices   Sum `json:"invoices"`
	Verdicts   Sum `json:"verdicts"`
	Identities Sum `json:"identities"` // that have not expired: all of Header.Stretches
	// Alerts is left out where none was fired, as in headers of releases that had none.
	Alerts Sum `json:"alerts,omitempty"`
}

// SummedLogs are the logs whose entries are summed.
func SummedLogs() []uint8 { return []uint8{LogDeadLetters, LogInvoices, LogVerdicts, LogAlerts} }

// Sum is one of them. It is written as 16 hex digits, so that the length of a
// header does not hang on it.
type Sum uint64

// MarshalText implements encoding.TextMarshaler.
func (s Sum) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(s)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Sum) UnmarshalText(text []byte) error {
	v, err := strconv.ParseUint(string(text), 16, 64)
	*s = Sum(v)
	return err
}

// StateDigest names the state that a checkpoint holds: version, colon and 32 hex
// digits over the sums and all of the header that the log decides; which host
// wrote it does not count, and of the identities their sum alone. It is empty for a
// checkpoint of a release that kept no sums.
func (h Header) StateDigest() (string, error) {
	if h.Sums == nil {
		return "", nil
	}
	version := DigestVersion
	if h.Horizon != rate.Beginning {
		version = DigestVersionExpired
	}
	h.Epoch, h.Stretches = 0, nil
	b, err := h.Encode()
	if err != nil {
		return "", fmt.Errorf("accumulate: digest: %w", err)
	}
	sum := sha256.Sum256(b)
	return version + ":" + hex.EncodeToString(sum[:16]), nil
}

// Seeds of the hashes, by kind of thing, so that a dead letter and an invoice of
// the same bytes differ.
const (
	seedPlan uint64 = iota + 1
	seedTerms
	seedCarry
	seedParked
	seedLetter
	seedInvoice
	seedVerdict
	seedAlert
)

// slotSum is the hashes of a slot: of its names and of its content; 0 for one
// that is not known yet.
type slotSum struct{ names, content uint64 }

// whole is the hash of the slot as a whole.
func (s slotSum) whole() uint64 {
	if s.names == 0 || s.content == 0 {
		return 0
	}
	return mix(s.names, s.content)
}

// mix makes one hash of two: the factors are digits of pi.
func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a^0x243f6a8885a308d3, b^0x13198a2e03707344)
	return high ^ low
}

// some is a hash that is not 0.
func some(h uint64) uint64 { return max(h, 1) }

// Tally keeps the sums of a state as its checkpoints change it. It belongs to
// the goroutine that writes them. Memory is 16 bytes a slot.
type Tally struct {
	sums   Sums
	slots  []slotSum // by number
	plans  []uint64  // by number, from 1 at index 0
	terms  []uint64
	tables map[string]uint64 // entries of the tables of carries and parked invoices: table and key → hash

	stretches map[int64]Sum // sums of the identities that have not expired, by when they do, unix ns
}

// NewTally makes the tally of the empty state.
func NewTally() *Tally {
	return &Tally{tables: map[string]uint64{}, stretches: map[int64]Sum{}}
}

// Take takes what a generation changes, and the sums of the identities that go
// with it by when they expire, unix ns, and returns the sums of the state with it.
// What has expired at the horizon of the generation's header is left out from then on:
// the header decides, and not when the identities themselves are let go. Each
// generation is taken once.
//
// # Errors
//
// A record that this package did not write: the state in memory is damaged, and
// must not be stored.
func (t *Tally) Take(g *Generation, identities map[int64]uint64) (Sums, error) {
	if err := t.number(g); err != nil {
		return Sums{}, err
	}
	for _, chunk := range g.chunks {
		if err := t.chunk(chunk[JournalRoom:]); err != nil {
			return Sums{}, err
		}
	}
	for _, e := range g.carries {
		if err := t.entry(TableCarries, e.key, e.value); err != nil {
			return Sums{}, err
		}
	}
	for _, e := range g.parked {
		if err := t.entry(TableParked, e.key, e.value); err != nil {
			return Sums{}, err
		}
	}
	for _, e := range g.others {
		if err := t.entry(e.table, e.key, e.value); err != nil {
			return Sums{}, err
		}
	}
	for _, log := range SummedLogs() {
		for _, entry := range g.Appends(log) {
			t.appended(log, entry)
		}
	}
	for until, sum := range identities {
		t.stretches[until] += Sum(sum)
	}
	maps.DeleteFunc(t.stretches, func(until int64, _ Sum) bool { return until < g.Header.Horizon })
	t.sums.Identities = total(t.stretches)
	return t.sums, nil
}

// Stretches returns the sums of the identities as of the last generation that was
// taken, by when they expire, unix ns.
func (t *Tally) Stretches() map[int64]Sum { return maps.Clone(t.stretches) }

// total is the sum of all identities.
func total(stretches map[int64]Sum) (sum Sum) {
	for _, s := range stretches {
		sum += s
	}
	return sum
}

// number takes the plans and terms that are new.
func (t *Tally) number(g *Generation) error {
	for _, e := range g.plans {
		if err := t.plan(e.key, e.value); err != nil {
			return err
		}
	}
	for _, e := range g.terms {
		if err := t.term(e.key, e.value); err != nil {
			return err
		}
	}
	return nil
}

// plan and term note what a number stands for. Both count with the slots that
// have them.
func (t *Tally) plan(key, value []byte) error {
	if _, err := nextNumber(key, len(t.plans)); err != nil {
		return err
	}
	t.plans = append(t.plans, xxh3.HashSeed(value, seedPlan))
	return nil
}

func (t *Tally) term(key, value []byte) error {
	if _, err := nextNumber(key, len(t.terms)); err != nil {
		return err
	}
	var in termsJSON
	if err := json.Unmarshal(value, &in); err != nil {
		return fmt.Errorf("%w: terms: %w", errRecord, err)
	}
	if in.Plan == 0 || int(in.Plan) > len(t.plans) {
		return fmt.Errorf("%w: terms of tariff %q name plan %d of %d", errRecord, in.Tariff, in.Plan, len(t.plans))
	}
	plan := t.plans[in.Plan-1]
	in.Plan = 0 // its number says nothing
	b, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("accumulate: digest: %w", err)
	}
	t.terms = append(t.terms, mix(xxh3.HashSeed(b, seedTerms), plan))
	return nil
}

// tallyAhead is how many records are found before the first of them is taken: what
// is known of their slots is read from memory meanwhile.
const tallyAhead = 16

// chunk takes the records of a journal's entry.
func (t *Tally) chunk(entry []byte) error {
	var found [tallyAhead]spot
	n := 0
	take := func() error {
		for _, r := range found[:n] {
			if err := t.record(r.kind, r.number, r.body); err != nil {
				return err
			}
		}
		n = 0
		return nil
	}
	err := eachRecord(entry, func(kind byte, number uint32, body []byte) error {
		found[n] = spot{kind, number, body}
		if uint64(number) < uint64(len(t.slots)) {
			memory.Ahead(unsafe.Pointer(&t.slots[number]), unsafe.Sizeof(slotSum{}))
		}
		if n++; n == tallyAhead {
			return take()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return take()
}

// record takes a slot's record, in place of what the slot was before.
func (t *Tally) record(kind byte, number uint32, body []byte) error {
	if uint64(number) >= uint64(len(t.slots)) && kind != recordFull {
		return fmt.Errorf("%w: slot %d behind %d", errRecord, number, len(t.slots))
	}
	for uint64(number) >= uint64(len(t.slots)) {
		t.slots = append(t.slots, slotSum{})
	}
	s := &t.slots[number]
	was := s.whole()
	if kind == recordFull {
		names, content, err := t.names(body)
		if err != nil {
			return fmt.Errorf("%w: slot %d", err, number)
		}
		s.names, body = names, content
	}
	s.content = some(xxh3.Hash(body))
	t.sums.Slots += Sum(s.whole() - was)
	return nil
}

// names returns the hash of the names in a full record, and what is behind them.
func (t *Tally) names(body []byte) (hash uint64, content []byte, err error) {
	r := reader{b: body}
	terms := r.uvarint()
	named := r.b
	r.bytes()
	r.bytes()
	if r.bad || terms == 0 || terms > uint64(len(t.terms)) {
		return 0, nil, errRecord
	}
	named = named[:len(named)-len(r.b)]
	return some(xxh3.HashSeed(named, t.terms[terms-1])), r.b, nil
}

// entry takes an entry of a table, in place of what stood under its key; a nil
// value takes it out.
func (t *Tally) entry(table uint8, key, value []byte) error {
	at := string(append([]byte{table}, key...))
	t.sums.Tables -= Sum(t.tables[at])
	delete(t.tables, at)
	if value == nil {
		return nil
	}
	var hash uint64
	switch table {
	case TableCarries:
		if len(key) != 4 || int(binary.BigEndian.Uint32(key)) >= len(t.slots) {
			return fmt.Errorf("%w: carry of slot %x", errRecord, key)
		}
		hash = mix(t.slots[binary.BigEndian.Uint32(key)].names, xxh3.HashSeed(value, seedCarry))
	default:
		hash = mix(xxh3.HashSeed(key, uint64(table)), xxh3.HashSeed(value, seedParked))
	}
	t.tables[at] = hash
	t.sums.Tables += Sum(hash)
	return nil
}

// appended takes an entry of a log.
func (t *Tally) appended(log uint8, entry []byte) {
	switch log {
	case LogDeadLetters:
		t.sums.Letters += Sum(xxh3.HashSeed(entry, seedLetter))
	case LogInvoices:
		t.sums.Invoices += Sum(xxh3.HashSeed(entry, seedInvoice))
	case LogVerdicts:
		t.sums.Verdicts += Sum(xxh3.HashSeed(entry, seedVerdict))
	case LogAlerts:
		t.sums.Alerts += Sum(xxh3.HashSeed(entry, seedAlert))
	}
}

// eachRecord calls fn with the records of a journal's entry that count.
func eachRecord(entry []byte, fn func(kind byte, number uint32, body []byte) error) error {
	if len(entry) == 0 || entry[0] != recordVersion {
		return fmt.Errorf("%w: a journal entry of another version", errRecord)
	}
	for r := (reader{b: entry[chunkHead:]}); len(r.b) > 0; {
		kind, number, body := r.u8(), r.u32(), r.bytes()
		if r.bad || kind > recordFull {
			return fmt.Errorf("%w: slot %d", errRecord, number)
		}
		if kind == recordVoid {
			continue
		}
		if err := fn(kind, number, body); err != nil {
			return err
		}
	}
	return nil
}

// Auditor adds up a state that a checkpoint holds, from what is stored and
// nothing else. It is given what a [Loader] is given, in the same order, and the
// entries of the logs beside it; of those of which it is given nothing, the sums
// of the header stand.
type Auditor struct {
	tally   *Tally
	carries []tableEntry // they need the names of slots
	spots   []spot       // of an entry's records
	slots   uint32
	seen    [4]bool // logs that were added up
}

// spot is a record of a journal's entry.
type spot struct {
	kind   byte
	number uint32
	body   []byte
}

// NewAuditor begins to add up a checkpoint with a header.
func NewAuditor(h Header) *Auditor {
	a := &Auditor{tally: NewTally(), slots: h.Slots}
	a.tally.slots = make([]slotSum, h.Slots)
	if h.Sums != nil {
		a.tally.sums = Sums{Letters: h.Sums.Letters, Invoices: h.Sums.Invoices, Verdicts: h.Sums.Verdicts, Alerts: h.Sums.Alerts}
	}
	maps.Copy(a.tally.stretches, h.Stretches)
	return a
}

// Table takes an entry of a table.
func (a *Auditor) Table(table uint8, key, value []byte) error {
	switch table {
	case TablePlans:
		return a.tally.plan(key, value)
	case TableTerms:
		return a.tally.term(key, value)
	case TableCarries:
		a.carries = append(a.carries, tableEntry{slices.Clone(key), slices.Clone(value)})
		return nil
	}
	return a.tally.entry(table, key, value)
}

// Journal takes an entry of the journal of slots: the newest first.
func (a *Auditor) Journal(entry []byte) error {
	a.spots = a.spots[:0]
	err := eachRecord(entry, func(kind byte, number uint32, body []byte) error {
		a.spots = append(a.spots, spot{kind, number, body})
		return nil
	})
	if err != nil {
		return err
	}
	t := a.tally
	for i, r := range slices.Backward(a.spots) {
		if i >= tallyAhead && a.spots[i-tallyAhead].number < a.slots {
			memory.Ahead(unsafe.Pointer(&t.slots[a.spots[i-tallyAhead].number]), unsafe.Sizeof(slotSum{}))
		}
		if r.number >= a.slots {
			return fmt.Errorf("%w: slot %d of %d", errRecord, r.number, a.slots)
		}
		s := &t.slots[r.number]
		if s.content != 0 && (s.names != 0 || r.kind == recordShort) {
			continue // a newer record has said it
		}
		content := r.body
		if r.kind == recordFull {
			var names uint64
			if names, content, err = t.names(r.body); err != nil {
				return fmt.Errorf("%w: slot %d", err, r.number)
			}
			s.names = names
		}
		if s.content == 0 {
			s.content = some(xxh3.Hash(content))
		}
	}
	return nil
}

// Log takes an entry of one of the SummedLogs, in any order: all of them or none.
func (a *Auditor) Log(log uint8, entry []byte) {
	kind, sum := 0, &a.tally.sums.Letters
	switch log {
	case LogInvoices:
		kind, sum = 1, &a.tally.sums.Invoices
	case LogVerdicts:
		kind, sum = 2, &a.tally.sums.Verdicts
	case LogAlerts:
		kind, sum = 3, &a.tally.sums.Alerts
	}
	if !a.seen[kind] {
		a.seen[kind], *sum = true, 0
	}
	a.tally.appended(log, entry)
}

// Identities takes the sums of the identities that have not expired, by when they do,
// unix ns.
func (a *Auditor) Identities(sums map[int64]uint64) {
	clear(a.tally.stretches)
	for until, sum := range sums {
		a.tally.stretches[until] = Sum(sum)
	}
}

// End returns the tally of the state, to go on with, and its sums.
func (a *Auditor) End() (*Tally, Sums, error) {
	t := a.tally
	t.sums.Identities = total(t.stretches)
	for n, s := range t.slots {
		if s.whole() == 0 {
			return nil, Sums{}, fmt.Errorf("%w: the journal does not say all of slot %d", errRecord, n)
		}
		t.sums.Slots += Sum(s.whole())
	}
	for _, e := range a.carries {
		if err := t.entry(TableCarries, e.key, e.value); err != nil {
			return nil, Sums{}, err
		}
	}
	a.carries = nil
	return t, t.sums, nil
}
