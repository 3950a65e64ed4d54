package author

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/abi"
)

// native is a tariff running as a program of this machine, which is spoken to as sdk/tariff's -serve says. It is an
// engine: the same arenas as in WebAssembly, without fuel and without a snapshot.
type native struct {
	program string

	command    *exec.Cmd
	in         io.WriteCloser
	out        *bufio.Reader
	complaints strings.Builder
	plans      map[*plugins.Plan]uint32 // handles
	arena      []byte
}

// nativeArena is enough for the batches of checks: some thousands of events, or a few of the largest states.
const nativeArena = 16 << 20

// start starts the program anew, with nothing configured.
func (n *native) start(ctx context.Context) error {
	if err := n.Close(); err != nil {
		return err
	}
	n.complaints.Reset()
	command := exec.CommandContext(ctx, n.program, "-serve")
	command.Stderr = &n.complaints
	in, err := command.StdinPipe()
	if err != nil {
		return err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("the tariff does not run natively: %w", err)
	}
	n.command, n.in, n.out = command, in, bufio.NewReaderSize(out, 1<<20)
	n.plans = map[*plugins.Plan]uint32{}
	if n.arena == nil {
		n.arena = make([]byte, nativeArena)
	}
	rc, _, err := n.ask('A', binary.LittleEndian.AppendUint32(nil, nativeArena))
	if err == nil && rc != abi.RCOK {
		err = errors.New("the tariff, natively, makes no arena")
	}
	return err
}

// Close ends the program.
func (n *native) Close() error {
	if n.command == nil {
		return nil
	}
	err := n.in.Close()
	// A program that was killed with its context, or that crashed, has said so already.
	var ended *exec.ExitError
	wait := n.command.Wait()
	n.command = nil
	if wait == nil || errors.As(wait, &ended) || errors.Is(wait, context.Canceled) || errors.Is(wait, context.DeadlineExceeded) {
		return nil // also where its input was closed already
	}
	return errors.Join(err, wait)
}

// ask sends a request and waits for the answer.
func (n *native) ask(what byte, parts ...[]byte) (rc int32, answer []byte, err error) {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	request := make([]byte, 0, 5+size)
	request = binary.LittleEndian.AppendUint32(append(request, what), uint32(size))
	for _, p := range parts {
		request = append(request, p...)
	}
	if _, err := n.in.Write(request); err != nil {
		return 0, nil, n.broken(err)
	}
	var head [8]byte
	if _, err := io.ReadFull(n.out, head[:]); err != nil {
		return 0, nil, n.broken(err)
	}
	length := binary.LittleEndian.Uint32(head[4:])
	if length > abi.ArenaMaxBytes {
		return 0, nil, n.broken(errors.New("its answer is no answer"))
	}
	answer = make([]byte, length)
	if _, err := io.ReadFull(n.out, answer); err != nil {
		return 0, nil, n.broken(err)
	}
	return int32(binary.LittleEndian.Uint32(head[:])), answer, nil
}

// broken explains why the program does not answer.
func (n *native) broken(err error) error {
	return fmt.Errorf("the tariff ended while it ran natively: %w", errors.Join(err, n.Close(), complaint(&n.complaints)))
}

func complaint(b *strings.Builder) error {
	if b.Len() == 0 {
		return nil
	}
	const most = 2_000
	return errors.New(abi.Cut(strings.TrimSpace(b.String()), most))
}

// Configure starts the program with these configurations.
func (n *native) Configure(ctx context.Context, requests []plugins.ConfigRequest) ([]*plugins.Plan, error) {
	if err := n.start(ctx); err != nil {
		return nil, err
	}
	list := make([]*plugins.Plan, len(requests))
	for k, r := range requests {
		p, err := n.configure(k, r)
		if err != nil {
			return nil, err
		}
		list[k], n.plans[p] = p, uint32(k)
	}
	return list, nil
}

func (n *native) configure(handle int, r plugins.ConfigRequest) (*plugins.Plan, error) {
	params := r.Params
	if len(params) == 0 {
		params = json.RawMessage("{}")
	}
	// Without a kind, since the module knows whether it is a tariff or an invoice rule.
	request, err := json.Marshal(map[string]any{"tariff": r.Tariff, "params": params, "currency": r.Currency})
	if err != nil {
		return nil, err
	}
	rc, answer, err := n.ask('C', binary.LittleEndian.AppendUint32(nil, uint32(handle)), request)
	if err != nil {
		return nil, err
	}
	if rc != abi.RCOK {
		return nil, fmt.Errorf("the tariff, natively, failed on its parameters: %s", answer)
	}
	var reply struct {
		Error      string             `json:"error"`
		Lines      []plugins.LineSpec `json:"lines"`
		StateSize  int                `json:"state_size"`
		StateMax   int                `json:"state_max"`
		CarrySize  int                `json:"carry_size"`
		Dimensions []string           `json:"dimensions"`
	}
	if err := json.Unmarshal(answer, &reply); err != nil {
		return nil, fmt.Errorf("the tariff's answer to its parameters, natively: %w", err)
	}
	if reply.Error != "" {
		return nil, &plugins.ConfigError{Tariff: r.Tariff, Message: reply.Error}
	}
	return &plugins.Plan{
		Tariff: r.Tariff, Lines: reply.Lines, StateSize: reply.StateSize, StateMax: max(reply.StateSize, reply.StateMax),
		CarrySize: reply.CarrySize, Dimensions: reply.Dimensions,
	}, nil
}

// Price prices a batch, as plugins.Instance.Price does.
func (n *native) Price(ctx context.Context, b *plugins.Batch) ([]plugins.Reject, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a, err := n.encode(b)
	if err != nil {
		return nil, err
	}
	rc, answer, err := n.ask('P', a.bytes[:a.end])
	if err != nil {
		return nil, err
	}
	if rc != abi.RCOK {
		text, err := abi.FaultText(answer)
		return nil, errors.Join(err, fmt.Errorf("the tariff, natively, failed with code %d: %s", rc, text))
	}
	return a.decode(answer, b)
}

// arena is a batch as it stands in the arena.
type arena struct {
	bytes  []byte
	end    int
	header abi.Header
	rows   []abi.Slot
	short  bool // something did not fit
}

// region begins a region of so many zeros and returns where.
func (a *arena) region(n int) uint32 {
	start := (a.end + abi.Align - 1) &^ (abi.Align - 1)
	if start+n > len(a.bytes) {
		a.short = true
		return 0
	}
	a.end = start + n
	clear(a.bytes[start:a.end])
	return uint32(start)
}

// put begins a region with these bytes.
func (a *arena) put(b []byte) uint32 {
	at := a.region(len(b))
	if !a.short {
		copy(a.bytes[at:], b)
	}
	return at
}

// encode lays out a batch.
func (n *native) encode(b *plugins.Batch) (*arena, error) {
	dims := 0
	if len(b.Slots) > 0 {
		dims = len(b.Slots[0].Plan.Dimensions)
	}
	a := &arena{bytes: n.arena, end: abi.HeaderSize, rows: make([]abi.Slot, len(b.Slots))}
	a.header = abi.Header{
		Slots: uint32(len(b.Slots)), SlotStride: abi.SlotSize, Events: uint32(len(b.Events)),
		EventStride: uint32(abi.EventStride(dims)), Dims: uint32(dims), Values: uint32(len(b.Values)),
		RejectStride: abi.RejectSize, RejectsMax: uint32(max(len(b.Events), 1)), ArenaSize: nativeArena, UnitsMax: 64,
	}
	h := &a.header
	h.SlotOff = a.region(len(b.Slots) * abi.SlotSize)
	h.EventOff = a.region(len(b.Events) * int(h.EventStride))
	for k := range b.Slots {
		a.slot(k, &b.Slots[k], n.plans[b.Slots[k].Plan])
	}
	h.ValueOff = a.region(len(b.Values) * abi.ValueSize)
	if !a.short {
		for k, v := range b.Values {
			abi.PutValue(a.bytes[int(h.ValueOff)+k*abi.ValueSize:], h.StringLen, uint32(len(v)))
			h.StringLen += uint32(len(v))
		}
	}
	h.StringOff = a.put([]byte(strings.Join(b.Values, "")))
	h.RejectOff = a.region(int(h.RejectsMax) * abi.RejectSize)
	if a.short {
		return nil, fmt.Errorf("a batch of %d events in %d slots does not fit into an arena of %d bytes", len(b.Events), len(b.Slots), nativeArena)
	}
	for k := range b.Events {
		e := &b.Events[k]
		row := a.bytes[int(h.EventOff)+k*int(h.EventStride):]
		out := abi.Event{Slot: uint32(e.Slot), Time: e.Time, Quantity: e.Quantity, Amount: e.Amount}
		if e.HasAmount {
			out.Flags = abi.EventFlagAmount
		}
		abi.PutEvent(row, &out)
		for d := range dims {
			abi.PutEventDim(row, d, b.Dims[k*dims+d])
		}
	}
	h.Put(a.bytes)
	return a, nil
}

// slot lays out a slot and what belongs to it. Each has room for the largest state there may be.
func (a *arena) slot(k int, s *plugins.Slot, handle uint32) {
	row := abi.Slot{
		PeriodStart: s.PeriodStart, PeriodEnd: s.PeriodEnd, ActiveFrom: s.ActiveFrom, ActiveUntil: s.ActiveUntil,
		Handle: handle, Lines: uint32(len(s.Plan.Lines)), StateLen: uint32(len(s.State)), StateCap: uint32(s.Plan.StateMax),
		CarryInLen: uint32(len(s.CarryIn)), CarryOutCap: uint32(s.Plan.CarrySize),
	}
	if s.New {
		row.Flags |= abi.SlotFlagNew
	}
	if s.Final {
		row.Flags |= abi.SlotFlagFinal
		a.header.Finals++
	}
	row.LineOff = a.region(len(s.Plan.Lines) * abi.LineSize)
	row.StateOff = a.region(s.Plan.StateMax)
	row.CarryInOff = a.put(s.CarryIn)
	row.CarryOutOff = a.region(s.Plan.CarrySize)
	if a.short {
		return
	}
	copy(a.bytes[row.LineOff:], s.Lines)
	copy(a.bytes[row.StateOff:], s.State)
	a.rows[k] = row
	abi.PutSlot(a.bytes[int(a.header.SlotOff)+k*abi.SlotSize:], &row)
}

// decode reads the answer into the slots that had events or were final.
func (a *arena) decode(answer []byte, b *plugins.Batch) ([]plugins.Reject, error) {
	if len(answer) != a.end {
		return nil, errors.New("the tariff, natively, answered with another arena")
	}
	// The regions were held against the whole arena, of which the answer is the part in use.
	sent := a.header
	sent.ArenaSize = uint32(len(answer))
	found, err := abi.ReadRejects(answer, &sent, nil)
	if err != nil {
		return nil, err
	}
	touched := make([]bool, len(b.Slots))
	for k := range b.Events {
		touched[b.Events[k].Slot] = true
	}
	for k := range b.Slots {
		s, row := &b.Slots[k], &a.rows[k]
		if !touched[k] && !s.Final {
			continue
		}
		out, err := abi.ReadSlotOut(answer[int(sent.SlotOff)+k*abi.SlotSize:], row)
		if err != nil {
			return nil, err
		}
		s.State = answer[row.StateOff:][:out.StateLen]
		s.Lines = answer[row.LineOff:][:len(s.Plan.Lines)*abi.LineSize]
		s.CarryOut = nil
		if s.Final {
			s.CarryOut = answer[row.CarryOutOff:][:out.CarryOutLen]
		}
	}
	rejects := make([]plugins.Reject, len(found))
	for k, r := range found {
		rejects[k] = plugins.Reject{Event: int(r.Event), Reason: string(r.Reason), Detail: string(r.Detail)}
	}
	return rejects, nil
}
