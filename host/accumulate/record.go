package accumulate

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// Tables of a partition's state in the checkpoint store.
const (
	TablePlans      uint8 = 1 // plan number → rate.Plan as JSON; loaded before the slots
	TableSlots      uint8 = 2 // slot key → slot
	TableIdentities uint8 = 3 // identity hash → content hash, position
	Tables                = 4 // one more than the highest table
)

// Logs of a partition in the checkpoint store: numbered from 1, never changed.
const (
	LogDeadLetters uint8 = 0 // DeadLetter as JSON
	LogInvoices    uint8 = 1 // export.Invoice as JSON
)

// errRecord reports bytes that this package did not write.
var errRecord = errors.New("accumulate: malformed record")

// maxLines is more than a slot can have; beyond it a count is damage.
const maxLines = 1 << 16

// appendString writes a string with its length before it.
func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// appendKey writes a slot's key. Accounts come first, so that a run of the store
// keeps an account's slots together.
func appendKey(b []byte, k rate.Key) []byte {
	b = appendString(b, k.Account)
	b = binary.BigEndian.AppendUint64(b, uint64(k.Period))
	b = appendString(b, k.Tariff)
	b = appendString(b, k.Subscription)
	b = binary.BigEndian.AppendUint64(b, uint64(k.Version))
	return appendString(b, k.Group)
}

// appendSlot writes a slot's value; plan is its plan's number.
func appendSlot(b []byte, s *rate.Slot, plan uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, plan)
	flags := byte(0)
	if s.Final {
		flags = 1
	}
	b = append(b, flags)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.PeriodEnd))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.ActiveFrom))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.ActiveUntil))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.LastTime))
	b = binary.AppendUvarint(b, s.Events)
	b = appendString(b, s.Calendar.Zone)
	b = append(b, byte(s.Calendar.AnchorDay))
	b = binary.AppendUvarint(b, uint64(len(s.State)))
	b = append(b, s.State...)
	b = binary.AppendUvarint(b, uint64(len(s.Lines)))
	for _, l := range s.Lines {
		for _, n := range [...]billing.Decimal{l.Quantity, l.Amount} {
			b = binary.LittleEndian.AppendUint64(b, n.Lo)
			b = binary.LittleEndian.AppendUint64(b, uint64(n.Hi))
		}
	}
	return b
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

func (r *reader) text() string { return string(r.take(r.uvarint())) }

func (r *reader) u8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) i64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.LittleEndian.Uint64(b))
	}
	return 0
}

func (r *reader) bigI64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// decodeKey reads what appendKey wrote.
func decodeKey(b []byte) (rate.Key, error) {
	r := reader{b: b}
	k := rate.Key{Account: r.text(), Period: r.bigI64(), Tariff: r.text(), Subscription: r.text(), Version: r.bigI64(), Group: r.text()}
	if r.bad || len(r.b) > 0 {
		return rate.Key{}, fmt.Errorf("%w: slot key", errRecord)
	}
	return k, nil
}

// decodeSlot reads what appendKey and appendSlot wrote. Strings that many
// slots share are taken from the state's own copies.
func (s *State) decodeSlot(key, value []byte) (*rate.Slot, error) {
	k, err := decodeKey(key)
	if err != nil {
		return nil, err
	}
	r := reader{b: value}
	var plan uint32
	if b := r.take(4); b != nil {
		plan = binary.LittleEndian.Uint32(b)
	}
	slot := &rate.Slot{Key: k, Final: r.u8() == 1}
	slot.PeriodEnd, slot.ActiveFrom, slot.ActiveUntil, slot.LastTime = r.i64(), r.i64(), r.i64(), r.i64()
	slot.Events = r.uvarint()
	slot.Calendar = rate.Calendar{Zone: r.text(), AnchorDay: int(r.u8())}
	slot.State = append([]byte(nil), r.take(r.uvarint())...)
	count := r.uvarint()
	lines := r.take(min(count, maxLines) * 32)
	if r.bad || len(r.b) > 0 || count > maxLines {
		return nil, fmt.Errorf("%w: slot of account %q", errRecord, k.Account)
	}
	if plan == 0 || int(plan) > len(s.numbered) {
		return nil, fmt.Errorf("%w: slot of account %q names plan %d of %d", errRecord, k.Account, plan, len(s.numbered))
	}
	slot.Plan = s.numbered[plan-1]
	slot.Tariff = slot.Plan.Tariff
	if len(lines) > 0 {
		slot.Lines = make([]plugins.Line, 0, len(lines)/32)
	}
	for ; len(lines) > 0; lines = lines[32:] {
		slot.Lines = append(slot.Lines, plugins.Line{Quantity: billing.DecimalLE(lines), Amount: billing.DecimalLE(lines[16:])})
	}
	return slot, nil
}

// encodePlan writes a plan: the same plan, the same bytes.
func encodePlan(p *rate.Plan) ([]byte, error) { return json.Marshal(p) }

// appendSeen writes the value of an identity.
func appendSeen(b []byte, s Seen) []byte {
	b = append(b, s.Content[:]...)
	return binary.LittleEndian.AppendUint64(b, s.Position)
}

// Load puts one table entry, as the store gives it, into a state that nobody
// else has yet. Plans must be loaded before slots.
func (s *State) Load(table uint8, key, value []byte) error {
	switch table {
	case TablePlans:
		p := &rate.Plan{}
		if err := json.Unmarshal(value, p); err != nil {
			return fmt.Errorf("%w: plan: %w", errRecord, err)
		}
		if len(key) != 4 {
			return fmt.Errorf("%w: plan number", errRecord)
		}
		n := int(binary.BigEndian.Uint32(key))
		if n != len(s.numbered)+1 {
			return fmt.Errorf("%w: plan %d follows %d", errRecord, n, len(s.numbered))
		}
		s.numbered = append(s.numbered, p)
		s.plans[string(value)], s.planAt[p] = uint32(n), uint32(n)
	case TableSlots:
		slot, err := s.decodeSlot(key, value)
		if err != nil {
			return err
		}
		s.put(slot)
	case TableIdentities:
		if len(key) != 16 || len(value) != 24 {
			return fmt.Errorf("%w: identity", errRecord)
		}
		s.identities[ingest.Hash(key)] = Seen{Content: ingest.Hash(value[:16]), Position: binary.LittleEndian.Uint64(value[16:])}
		s.identityCount = len(s.identities)
	default:
		return fmt.Errorf("%w: table %d", errRecord, table)
	}
	return nil
}

// SetHeader sets the header of a state that nobody else has yet.
func (s *State) SetHeader(h Header) { s.header = h }
