package plugins

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/tollway/tollway/sdk/abi"
)

// ConfigRequest asks for a tariff with parameters.
type ConfigRequest struct {
	// Tariff is the name of a tariff in the module.
	Tariff string
	// Params are the parameters as JSON; empty means {}.
	Params json.RawMessage
	// Currency is the ISO 4217 code in which the tariff prices.
	Currency string
}

// Plan is a tariff configured in an instance. It is valid for that instance, until it is closed.
// Its fields must not be changed.
type Plan struct {
	// Tariff is the name of the tariff.
	Tariff string
	// Lines are the line items of every slot of this plan, in order.
	Lines []LineSpec
	// StateSize and StateMax are the bytes of state of a slot: at least and at most.
	StateSize, StateMax int
	// CarrySize is the most bytes that a slot carries to the next period.
	CarrySize int
	// Dimensions are the dimensions whose values events must bring, in this order.
	Dimensions []string

	instance  *Instance
	handle    uint32
	lineBytes int // of Slot.Lines
}

// LineSpec is a line item as the tariff announces it.
type LineSpec struct {
	// ID names the line among those of its plan, [a-z][a-z0-9_]{0,62}.
	ID string `json:"id"`
	// Description is text for the invoice.
	Description string `json:"description"`
}

// configRequest is the request as it stands in the arena.
type configRequest struct {
	Tariff   string          `json:"tariff"`
	Params   json.RawMessage `json:"params"`
	Currency string          `json:"currency"`
	Kind     string          `json:"kind"`
}

// configReply is the plugin's answer.
type configReply struct {
	Error      string     `json:"error"`
	Lines      []LineSpec `json:"lines"`
	StateSize  int        `json:"state_size"`
	StateMax   int        `json:"state_max"`
	CarrySize  int        `json:"carry_size"`
	Dimensions []string   `json:"dimensions"`
}

// Sizes of the arena. It must hold the largest request and its reply, and one event with the
// largest state; what it holds beyond that are larger batches.
const (
	arenaDefault   = 2 << 20
	arenaReplyRoom = 64 << 10
	// unitRoom is what one unit can need beside lines, state and carry.
	unitRoom = abi.HeaderSize + abi.SlotSize + abi.RejectsMax*abi.RejectSize + valueBytesMax + 4<<10
)

// Configure adds configurations to those the instance has and returns their plans, in the order of
// the requests. It is all or nothing: on an error the instance has the plans it had. Plans of
// earlier calls stay valid. Each call takes a snapshot, so many requests at once are cheaper.
//
// # Errors
//
// Every request that was refused, joined, each a *[ConfigError]; or a *[FaultError] when the plugin
// broke the rules.
func (i *Instance) Configure(ctx context.Context, requests []ConfigRequest) ([]*Plan, error) {
	if i.api == nil {
		return nil, errInstanceClosed
	}
	encoded, size, err := i.encodeRequests(requests)
	if err != nil {
		return nil, err
	}
	if len(i.plans)+len(requests) > abi.HandlesMax {
		return nil, fmt.Errorf("plugin %s: more than %d configurations in one instance", i.module.label(), abi.HandlesMax)
	}
	if err := i.ensureArena(ctx, size); err != nil {
		return nil, err
	}
	i.restore()
	before, arena, held := len(i.plans), len(i.arena), i.held
	plans, err := i.configureAll(ctx, requests, encoded)
	if err != nil {
		i.held = held
		return nil, err
	}
	if err := i.capture(); err != nil {
		return nil, errors.Join(err, i.Close(ctx))
	}
	i.requests = append(i.requests, requests...)
	i.plans = append(i.plans, plans...)
	// A state may need a larger arena than the requests did. The instance is then made again,
	// with everything it was ever asked for, so that it is what it would have been at once.
	for _, p := range plans {
		if err := i.ensureArena(ctx, p.roomNeeded()); err != nil {
			i.requests, i.plans, i.held = i.requests[:before], i.plans[:before], held
			return nil, errors.Join(err, i.remake(ctx, arena))
		}
	}
	return plans, nil
}

var errInstanceClosed = errors.New("plugins: the instance is closed")

// roomNeeded is the arena that one unit of this plan can need.
func (p *Plan) roomNeeded() int {
	return unitRoom + len(p.Lines)*abi.LineSize + p.StateMax + 2*p.CarrySize
}

// encodeRequests writes the requests and returns the arena that the largest needs.
func (i *Instance) encodeRequests(requests []ConfigRequest) (encoded [][]byte, size int, err error) {
	var problems []error
	for k, r := range requests {
		bad := func(text string) {
			problems = append(problems, &ConfigError{Request: k, Tariff: r.Tariff, Message: text})
		}
		entry, ok := i.module.manifest.Tariff(r.Tariff)
		if !ok {
			bad(fmt.Sprintf("is not in plugin %s, which has %s", i.module.label(), i.module.tariffNames()))
			continue
		}
		params := r.Params
		if len(bytes.TrimSpace(params)) == 0 {
			params = json.RawMessage("{}")
		}
		raw, err := json.Marshal(configRequest{Tariff: r.Tariff, Params: params, Currency: r.Currency, Kind: entry.Kind.String()})
		if err != nil {
			bad("its parameters are not JSON: " + err.Error())
			continue
		}
		need := abi.HeaderSize + len(raw) + arenaReplyRoom
		if need > abi.ArenaMaxBytes {
			bad(fmt.Sprintf("its parameters are %d bytes long, the limit is %d", len(raw), abi.ArenaMaxBytes-abi.HeaderSize-arenaReplyRoom))
			continue
		}
		encoded = append(encoded, raw)
		size = max(size, need)
	}
	return encoded, size, errors.Join(problems...)
}

func (m *Module) tariffNames() string {
	var b bytes.Buffer
	for k, t := range m.manifest.Tariffs {
		if k > 0 {
			b.WriteString(", ")
		}
		b.WriteString(t.Name)
	}
	return b.String()
}

// ensureArena makes the arena, or a larger one, when it is smaller than size.
func (i *Instance) ensureArena(ctx context.Context, size int) error {
	if len(i.arena) >= size && len(i.arena) > 0 {
		return nil
	}
	want := arenaDefault
	for want < size {
		want *= 2
	}
	if want > abi.ArenaMaxBytes {
		return fmt.Errorf("plugin %s needs an arena of %d bytes, the limit is %d", i.module.label(), size, abi.ArenaMaxBytes)
	}
	if len(i.arena) == 0 {
		return i.makeArena(want)
	}
	return i.remake(ctx, want)
}

// makeArena asks a fresh instance for its arena and takes the first snapshot.
func (i *Instance) makeArena(size int) error {
	i.resetHost()
	i.stack[0] = uint64(size)
	result, err := i.call(i.api.ExportedFunction(abi.ExportArena), budget{fuel: i.module.fuelStart})
	if err != nil {
		return i.fault("it could not make an arena of %d bytes: %s", size, err)
	}
	ptr := uint32(result)
	end := uint64(ptr) + uint64(size)
	if ptr == 0 || ptr%abi.Align != 0 || end > uint64(uint32(i.control.pages.Get()))*pageSize {
		return i.fault("it gave no usable arena of %d bytes (pointer %#x)", size, ptr)
	}
	i.arenaPtr, i.arena, i.used = ptr, i.memory[ptr:end:end], 0
	return i.capture()
}

// remake replaces the instance by a fresh one with an arena of the given size and the same
// configurations. Plans stay valid: the same requests get the same handles.
func (i *Instance) remake(ctx context.Context, arena int) error {
	if err := i.Close(ctx); err != nil {
		return fmt.Errorf("plugin %s: %w", i.module.label(), err)
	}
	err := i.start(ctx)
	if err == nil {
		err = i.makeArena(arena)
	}
	var encoded [][]byte
	if err == nil {
		encoded, _, err = i.encodeRequests(i.requests)
	}
	if err == nil {
		i.restore()
		before := i.plans
		i.plans, i.held = i.plans[:0:0], 0
		_, err = i.configureAll(ctx, i.requests, encoded)
		i.plans = before
	}
	if err == nil {
		err = i.capture()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("plugin %s cannot be started again: %w", i.module.label(), err), i.Close(ctx))
	}
	return nil
}

// configureAll gives the requests to the plugin, one after the other.
func (i *Instance) configureAll(ctx context.Context, requests []ConfigRequest, encoded [][]byte) ([]*Plan, error) {
	var refused []error
	plans := make([]*Plan, 0, len(requests))
	for k, raw := range encoded {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := i.configureOne(uint32(len(i.plans)+k), raw)
		var refusal *ConfigError
		if errors.As(err, &refusal) {
			refusal.Request, refusal.Tariff = k, requests[k].Tariff
			refused = append(refused, refusal)
			if refusal.cause != nil {
				break // nothing can be asked of it any more
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		p.Tariff = requests[k].Tariff
		plans = append(plans, p)
		i.held += int64(len(raw))
	}
	return plans, errors.Join(refused...)
}

// configureOne gives one request to the plugin.
func (i *Instance) configureOne(handle uint32, request []byte) (*Plan, error) {
	i.zeroArena()
	i.resetHost()
	h := abi.Header{ArenaSize: uint32(len(i.arena))}
	h.Put(i.arena)
	copy(i.arena[abi.HeaderSize:], request)
	i.used = abi.HeaderSize + len(request)
	i.stack[0], i.stack[1] = uint64(handle), uint64(len(request))
	// Whoever wrote many parameters waits for them; whoever wrote few must not be made to. A module that collects its
	// garbage looks at all that it holds, now and then.
	granted := i.module.fuelConfigure + abi.FuelPerParamByte*int64(len(request)) + abi.FuelPerHeldByte*i.held
	result, err := i.call(i.configure, budget{fuel: granted})
	if err != nil {
		return nil, &ConfigError{Message: "the plugin failed on its parameters: " + err.Error(), cause: err}
	}
	switch result {
	case abi.RCOK:
	case abi.RCFault:
		return nil, i.fault("it failed on a configuration: %s", i.faultText())
	default:
		return nil, i.fault("it answered a configuration with the unknown code %d", result)
	}
	raw, err := abi.Reply(i.arena)
	if err != nil {
		return nil, i.fault("its answer to a configuration breaks the ABI: %s", err)
	}
	return i.readReply(handle, raw)
}

// readReply reads the plugin's answer and holds it against the limits.
func (i *Instance) readReply(handle uint32, raw []byte) (*Plan, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	var r configReply
	if err := d.Decode(&r); err != nil {
		return nil, i.fault("its answer to a configuration cannot be read: %s", err)
	}
	if r.Error != "" {
		return nil, &ConfigError{Message: abi.Cut(r.Error, abi.TextMax)}
	}
	if r.StateMax == 0 {
		r.StateMax = r.StateSize
	}
	if problem := r.check(); problem != nil {
		return nil, i.fault("its answer to a configuration breaks the ABI: %s", problem)
	}
	return &Plan{
		Lines: r.Lines, StateSize: r.StateSize, StateMax: r.StateMax, CarrySize: r.CarrySize,
		Dimensions: r.Dimensions, instance: i, handle: handle, lineBytes: len(r.Lines) * abi.LineSize,
	}, nil
}

func (r *configReply) check() error {
	switch {
	case len(r.Lines) > abi.LinesMax:
		return fmt.Errorf("%d lines, the limit is %d", len(r.Lines), abi.LinesMax)
	case r.StateSize < 0 || r.StateSize > abi.StateFixedMax:
		return fmt.Errorf("state_size %d is not 0 to %d", r.StateSize, abi.StateFixedMax)
	case r.StateMax < r.StateSize || r.StateMax > abi.StateMax:
		return fmt.Errorf("state_max %d is not state_size to %d", r.StateMax, abi.StateMax)
	case r.CarrySize < 0 || r.CarrySize > abi.CarryMax:
		return fmt.Errorf("carry_size %d is not 0 to %d", r.CarrySize, abi.CarryMax)
	case len(r.Dimensions) > abi.DimsMax:
		return fmt.Errorf("%d dimensions, the limit is %d", len(r.Dimensions), abi.DimsMax)
	}
	seen := map[string]bool{}
	for _, l := range r.Lines {
		if !abi.ValidName(l.ID) || seen[l.ID] {
			return fmt.Errorf("line %q is named twice or not of the form [a-z][a-z0-9_]{0,62}", l.ID)
		}
		if len(l.Description) > abi.DescriptionMax || !utf8.ValidString(l.Description) {
			return fmt.Errorf("the description of line %q is longer than %d bytes or not UTF-8", l.ID, abi.DescriptionMax)
		}
		seen[l.ID] = true
	}
	clear(seen)
	for _, d := range r.Dimensions {
		if d == "" || seen[d] {
			return fmt.Errorf("dimension %q is empty or there twice", d)
		}
		seen[d] = true
	}
	return nil
}

// fault is a *FaultError that concerns no slot.
func (i *Instance) fault(format string, args ...any) error {
	return &FaultError{Plugin: i.module.label(), Slot: -1, Event: -1, Text: fmt.Sprintf(format, args...)}
}

// faultText is the text that came with result code 1.
func (i *Instance) faultText() string {
	text, err := abi.FaultText(i.arena)
	if err != nil || len(text) == 0 {
		return "it gave no reason"
	}
	return string(text)
}
