package tarifftest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// arenaBytes is enough for the batches of tests.
const arenaBytes = 8 << 20

// Bench is a module running natively, with the engine's side of the arena. It is for one test
// and one goroutine.
type Bench struct {
	t      testing.TB
	native *tariff.Native
	arena  []byte
	plans  []Plan
	kinds  map[string]tariff.Kind

	// UnitsMax is how many events the module may announce at once; 0 stands for one.
	UnitsMax int
}

// Plan is what a tariff answered to its parameters.
type Plan struct {
	Handle     int
	Lines      []LineSpec `json:"lines"`
	StateSize  int        `json:"state_size"`
	StateMax   int        `json:"state_max"`
	CarrySize  int        `json:"carry_size"`
	Dimensions []string   `json:"dimensions"`
}

// LineSpec names a line.
type LineSpec struct {
	ID          string `json:"id"`
	Description string `json:"description"`
}

// NewBench returns a bench with these tariffs.
func NewBench(t testing.TB, tariffs ...tariff.Tariff) *Bench {
	t.Helper()
	module := &tariff.Module{Name: "test", Version: "0", Tariffs: tariffs}
	b := &Bench{t: t, native: module.Native(), kinds: map[string]tariff.Kind{}}
	for _, tr := range tariffs {
		b.kinds[tr.Name] = tr.Kind
	}
	if b.arena = b.native.Arena(arenaBytes); b.arena == nil {
		t.Fatal("tarifftest: arena refused")
	}
	return b
}

// Configure configures a tariff in EUR.
//
// # Errors
//
// What the tariff says is wrong with the parameters.
func (b *Bench) Configure(name, params string) (*Plan, error) {
	return b.ConfigureIn(name, params, "EUR")
}

// ConfigureIn is Configure with another currency.
func (b *Bench) ConfigureIn(name, params string, currency billing.Currency) (*Plan, error) {
	request, err := json.Marshal(map[string]any{
		"tariff": name, "params": json.RawMessage(params), "currency": string(currency), "kind": b.kinds[name].String(),
	})
	if err != nil {
		return nil, fmt.Errorf("params are not JSON: %w", err)
	}
	copy(b.arena[abi.HeaderSize:], request)
	if rc := b.native.Configure(len(b.plans), len(request)); rc != abi.RCOK {
		return nil, b.fault(rc)
	}
	reply, err := abi.Reply(b.arena)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Plan
		Error string `json:"error"`
	}
	if err := json.Unmarshal(reply, &answer); err != nil {
		return nil, fmt.Errorf("reply %s: %w", reply, err)
	}
	if answer.Error != "" {
		return nil, errors.New(answer.Error)
	}
	answer.Handle = len(b.plans)
	b.plans = append(b.plans, answer.Plan)
	return &b.plans[answer.Handle], nil
}

func (b *Bench) fault(rc int32) error {
	text, err := abi.FaultText(b.arena)
	if err != nil {
		return err
	}
	return fmt.Errorf("result code %d: %s", rc, text)
}

// Slot is a slot as the engine keeps it between batches.
type Slot struct {
	Plan              *Plan
	Period            billing.Period
	Active            billing.Period // when the subscription is active under the tariff's version; zero: all of the period
	Final             bool
	Lines             []abi.Line
	State             []byte // empty: nothing was priced yet
	CarryIn, CarryOut []byte
}

// NewSlot returns a new slot of a plan, for January 2026.
func NewSlot(p *Plan) *Slot {
	return &Slot{
		Plan:  p,
		Lines: make([]abi.Line, len(p.Lines)),
		Period: billing.Period{
			Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC),
		},
	}
}

// Next returns the slot of the period that follows, with what this one carries.
func (s *Slot) Next() *Slot {
	next := NewSlot(s.Plan)
	next.Period = billing.Period{Start: s.Period.End, End: s.Period.End.AddDate(0, 1, 0)}
	next.CarryIn = slices.Clone(s.CarryOut)
	return next
}

// Clone returns a copy that shares nothing.
func (s *Slot) Clone() *Slot {
	c := *s
	c.Lines, c.State = slices.Clone(s.Lines), slices.Clone(s.State)
	c.CarryIn, c.CarryOut = slices.Clone(s.CarryIn), slices.Clone(s.CarryOut)
	return &c
}

// Show lists the lines that are not zero: id, quantity, amount.
func (s *Slot) Show() []string {
	shown := []string{}
	for i, l := range s.Lines {
		if !l.Quantity.IsZero() || !l.Amount.IsZero() {
			shown = append(shown, fmt.Sprintf("%s %s %s", s.Plan.Lines[i].ID, l.Quantity, l.Amount))
		}
	}
	return shown
}

// Event is a usage event in the words of a test. Everything is optional: the quantity is 1, the
// time the period's start.
type Event struct {
	Quantity, Amount, Time string
	Dimensions             map[string]string
	Slot                   int // index among the slots of a [Bench.Price]
}

// Quantities returns one event for each quantity.
func Quantities(quantities ...string) []Event {
	events := make([]Event, len(quantities))
	for i, q := range quantities {
		events[i].Quantity = q
	}
	return events
}

// Reject is an event that was not priced.
type Reject struct {
	Event          int
	Reason, Detail string
}

// Price prices a batch. The slots are brought up to date; all have the same dimensions.
//
// # Errors
//
// The tariff's fault, or an answer that breaks the contract; the slots are then as before.
func (b *Bench) Price(slots []*Slot, events []Event) ([]Reject, error) {
	b.t.Helper()
	h, rows := b.encode(slots, events)
	if rc := b.native.Price(); rc != abi.RCOK {
		return nil, b.fault(rc)
	}
	found, err := abi.ReadRejects(b.arena, &h, nil)
	if err != nil {
		return nil, err
	}
	outs := make([]abi.SlotOut, len(slots))
	for i := range slots {
		if outs[i], err = abi.ReadSlotOut(b.arena[h.SlotOff+uint32(i)*h.SlotStride:], &rows[i]); err != nil {
			return nil, err
		}
	}
	for i, s := range slots {
		s.State = slices.Clone(b.arena[rows[i].StateOff:][:outs[i].StateLen])
		if s.Final {
			s.CarryOut = slices.Clone(b.arena[rows[i].CarryOutOff:][:outs[i].CarryOutLen])
		}
		for l := range s.Lines {
			s.Lines[l] = abi.ReadLine(b.arena[int(rows[i].LineOff)+l*abi.LineSize:])
		}
	}
	rejects := make([]Reject, len(found))
	for i, r := range found {
		rejects[i] = Reject{int(r.Event), string(r.Reason), string(r.Detail)}
	}
	return rejects, nil
}

// encoder lays a batch out in an arena.
type encoder struct {
	arena []byte
	at    int
}

// region begins a region of n bytes and returns where; its bytes are zero.
func (e *encoder) region(n int) uint32 {
	e.at = (e.at + abi.Align - 1) &^ (abi.Align - 1)
	start := e.at
	e.at += n
	clear(e.arena[start:e.at])
	return uint32(start)
}

func (b *Bench) encode(slots []*Slot, events []Event) (abi.Header, []abi.Slot) {
	b.t.Helper()
	e := &encoder{arena: b.arena, at: abi.HeaderSize}
	dims := slots[0].Plan.Dimensions
	h := abi.Header{
		Slots: uint32(len(slots)), SlotStride: abi.SlotSize, Events: uint32(len(events)),
		EventStride: uint32(abi.EventStride(len(dims))), Dims: uint32(len(dims)),
		RejectStride: abi.RejectSize, RejectsMax: abi.RejectsMax, ArenaSize: uint32(len(b.arena)), UnitsMax: uint32(b.UnitsMax),
	}
	h.SlotOff = e.region(len(slots) * abi.SlotSize)
	rows := make([]abi.Slot, len(slots))
	for i, s := range slots {
		if !slices.Equal(s.Plan.Dimensions, dims) {
			b.t.Fatal("tarifftest: the slots of a batch have the same dimensions")
		}
		rows[i] = e.slot(s)
		if s.Final {
			h.Finals++
		}
		abi.PutSlot(b.arena[int(h.SlotOff)+i*abi.SlotSize:], &rows[i])
	}
	values := []string{""}
	h.EventOff = e.region(len(events) * int(h.EventStride))
	for i, event := range events {
		row := b.arena[int(h.EventOff)+i*int(h.EventStride):]
		fixed := b.event(event, slots)
		abi.PutEvent(row, &fixed)
		for d, name := range dims {
			id := slices.Index(values, event.Dimensions[name])
			if id < 0 {
				id = len(values)
				values = append(values, event.Dimensions[name])
			}
			abi.PutEventDim(row, d, uint32(id))
		}
	}
	h.Values = uint32(len(values))
	h.ValueOff = e.region(len(values) * abi.ValueSize)
	for i, v := range values {
		abi.PutValue(b.arena[int(h.ValueOff)+i*abi.ValueSize:], h.StringLen, uint32(len(v)))
		h.StringLen += uint32(len(v))
	}
	h.StringOff = e.region(int(h.StringLen))
	at := int(h.StringOff)
	for _, v := range values {
		at += copy(b.arena[at:], v)
	}
	h.RejectOff = e.region(abi.RejectsMax * abi.RejectSize)
	h.Put(b.arena)
	return h, rows
}

// slot lays out what belongs to a slot. Its state is followed by rubbish: bytes behind a state
// are not defined.
func (e *encoder) slot(s *Slot) abi.Slot {
	active := s.Active
	if active == (billing.Period{}) {
		active = s.Period
	}
	row := abi.Slot{
		PeriodStart: s.Period.Start.UnixNano(), PeriodEnd: s.Period.End.UnixNano(),
		ActiveFrom: active.Start.UnixNano(), ActiveUntil: active.End.UnixNano(),
		Handle: uint32(s.Plan.Handle), Lines: uint32(len(s.Lines)),
		StateLen: uint32(len(s.State)), StateCap: uint32(s.Plan.StateMax),
		CarryInLen: uint32(len(s.CarryIn)), CarryOutCap: uint32(s.Plan.CarrySize),
	}
	if len(s.State) == 0 {
		row.Flags |= abi.SlotFlagNew
	}
	if s.Final {
		row.Flags |= abi.SlotFlagFinal
	}
	row.LineOff = e.region(len(s.Lines) * abi.LineSize)
	for i, l := range s.Lines {
		abi.PutLine(e.arena[int(row.LineOff)+i*abi.LineSize:], l)
	}
	row.StateOff = e.region(s.Plan.StateMax)
	state := e.arena[row.StateOff:e.at]
	for i := range state[copy(state, s.State):] {
		state[len(s.State)+i] = 0xA5
	}
	row.CarryInOff = e.region(len(s.CarryIn))
	copy(e.arena[row.CarryInOff:], s.CarryIn)
	row.CarryOutOff = e.region(s.Plan.CarrySize)
	return row
}

func (b *Bench) event(event Event, slots []*Slot) abi.Event {
	b.t.Helper()
	row := abi.Event{
		Slot: uint32(event.Slot), Quantity: billing.DecimalFromInt(1),
		Time: slots[event.Slot].Period.Start.UnixNano(),
	}
	if event.Quantity != "" {
		row.Quantity = billing.MustDecimal(event.Quantity)
	}
	if event.Amount != "" {
		row.Amount, row.Flags = billing.MustDecimal(event.Amount), abi.EventFlagAmount
	}
	if event.Time != "" {
		at, err := time.Parse(time.RFC3339Nano, event.Time)
		if err != nil {
			b.t.Fatalf("tarifftest: %v", err)
		}
		row.Time = at.UnixNano()
	}
	return row
}

// Arena gives the raw bytes, for tests of the contract itself.
func (b *Bench) Arena() []byte { return b.arena }

// PutUint32 overwrites a number of the arena, for tests of the contract itself.
func (b *Bench) PutUint32(off int, v uint32) { binary.LittleEndian.PutUint32(b.arena[off:], v) }
