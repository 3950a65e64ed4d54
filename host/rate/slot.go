package rate

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"strings"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

// Bounds of a subscription that has none, unix ns.
const (
	Beginning int64 = math.MinInt64
	Forever   int64 = math.MaxInt64
)

// Key names a slot within a partition.
type Key struct {
	Account      string
	Subscription string // id of the subscription; the tariff's name where it has none
	Tariff       string
	Version      int64  // the tariff version's effective_from, unix ns
	Period       int64  // start of the billing period, unix ns
	Group        string // values of the group_by dimensions, see EncodeGroup
}

// Compare orders keys by account, period, tariff, subscription, version and
// group: the order of lists and of invoice lines.
func (k Key) Compare(o Key) int {
	return cmp.Or(
		strings.Compare(k.Account, o.Account),
		cmp.Compare(k.Period, o.Period),
		strings.Compare(k.Tariff, o.Tariff),
		strings.Compare(k.Subscription, o.Subscription),
		cmp.Compare(k.Version, o.Version),
		strings.Compare(k.Group, o.Group),
	)
}

// WithoutGroup is the key that all groups of a subscription, version and
// period share.
func (k Key) WithoutGroup() Key {
	k.Group = ""
	return k
}

// Calendar names the billing periods that accounts share: an IANA time zone
// and the day of the month on which periods start.
type Calendar struct {
	Zone      string `json:"zone"`
	AnchorDay int    `json:"anchor_day"`
}

// CalendarName names the calendar.
func CalendarName(c billing.Calendar) Calendar {
	return Calendar{Zone: c.Zone.String(), AnchorDay: c.AnchorDay}
}

// Slot is the priced state of one key, as it stood at one moment.
type Slot struct {
	Key
	Plan      *Plan
	Calendar  Calendar // of the account when the slot was made
	PeriodEnd int64    // exclusive, unix ns
	// ActiveFrom and ActiveUntil bound the subscription within the tariff
	// version, unix ns; Beginning and Forever stand for no bound.
	ActiveFrom  int64
	ActiveUntil int64
	Events      uint64 // events priced
	LastTime    int64  // latest event time priced, unix ns; meaningless without events
	Final       bool   // the period is closed and the closing fold is in the lines
	State       []byte
	Lines       []Line
	// CarryIn is what the slot of the period before has left, or of the version before
	// within the period; CarryOut is what a finished slot leaves.
	CarryIn, CarryOut []byte
}

// Line is a line item so far, before it is rounded.
type Line struct{ Quantity, Amount billing.Decimal }

// LineBytes is the size of a line as plugins have it: quantity, amount.
const LineBytes = abi.LineSize

// LinesOf reads lines as plugins have them.
func LinesOf(b []byte) []Line {
	if len(b) == 0 {
		return nil
	}
	lines := make([]Line, 0, len(b)/LineBytes)
	for ; len(b) >= LineBytes; b = b[LineBytes:] {
		lines = append(lines, Line(abi.ReadLine(b)))
	}
	return lines
}

// LineAt reads one line as plugins have it: the first LineBytes of b.
func LineAt(b []byte) Line { return Line(abi.ReadLine(b)) }

// Data returns lines and state as a book has them, see Live.
func (s *Slot) Data() []byte {
	b := make([]byte, len(s.Lines)*LineBytes, len(s.Lines)*LineBytes+len(s.State))
	for i, l := range s.Lines {
		abi.PutLine(b[i*LineBytes:], abi.Line(l))
	}
	return append(b, s.State...)
}

// Terms returns what the slot has in common with others.
func (s *Slot) Terms() *Terms {
	return &Terms{
		Subscription: s.Subscription, Tariff: s.Tariff, Version: s.Version, Period: s.Period, PeriodEnd: s.PeriodEnd,
		ActiveFrom: s.ActiveFrom, ActiveUntil: s.ActiveUntil, Calendar: s.Calendar, Plan: s.Plan,
	}
}

// Plan is how a slot is priced: the tariff as configured for a subscription.
// It is stored beside the slots, so that lines keep their descriptions and
// rounding when the catalog moves on.
type Plan struct {
	Tariff   string           `json:"tariff"`
	Meter    string           `json:"meter"`
	Currency billing.Currency `json:"currency"`
	Rounding billing.Rounding `json:"rounding"` // of finished lines
	GroupBy  []string         `json:"group_by,omitempty"`
	Module   string           `json:"module"`          // digest of the plugin
	Name     string           `json:"name"`            // tariff within the module
	Params   string           `json:"params"`          // canonical JSON
	Lines    []PlanLine       `json:"lines,omitempty"` // answered by the plugin
	// Carries says that slots leave something to those of the next period, or of the
	// version that follows within theirs; answered by the plugin.
	Carries bool `json:"carries,omitempty"`
}

// PlanLine names one line of a plan's slots.
type PlanLine struct {
	ID          string `json:"id"`
	Description string `json:"description"`
}

// errGroup reports bytes that EncodeGroup did not write.
var errGroup = errors.New("rate: malformed group key")

// EncodeGroup makes a key of group values: each with its length before it, so
// that no two lists of values share a key. No values make the empty key.
func EncodeGroup(values []string) string {
	if len(values) == 0 {
		return ""
	}
	var b []byte
	for _, v := range values {
		b = binary.AppendUvarint(b, uint64(len(v)))
		b = append(b, v...)
	}
	return string(b)
}

// DecodeGroup takes a group key apart again.
func DecodeGroup(group string) ([]string, error) {
	var values []string
	b := []byte(group)
	for len(b) > 0 {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return nil, errGroup
		}
		values = append(values, string(b[used:used+int(n)]))
		b = b[used+int(n):]
	}
	return values, nil
}
