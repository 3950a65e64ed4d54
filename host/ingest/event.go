package ingest

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tollway/tollway/sdk/billing"
)

// Limits on what one message and one event may hold. What exceeds one is a dead letter whose detail names the limit.
const (
	BodyBytesMax      = 8 << 20 // bytes of a message's body
	MessageEventsMax  = 10_000  // events in a message
	AttributeBytesMax = 512     // bytes of id, source and type; the least is 1
	BatchStringsMax   = 1 << 18 // strings of a packed batch
	DataFieldsMax     = 256     // fields of an event's data
	DataNestingMax    = 32      // objects and arrays within each other, the data object being the first
)

// The times that can be billed. They leave room on both sides of what 64 bits of nanoseconds hold, so that the ends of an
// event's billing period exist as well.
const (
	yearMin = 1700 // first year that is accepted
	yearMax = 2261 // last year that is

	timeMinUnix = -8_520_336_000 // the start of yearMin, Unix seconds
	timeEndUnix = 9_214_646_400  // the end of yearMax

	nanosPerSecond = 1_000_000_000
)

// Event is one usage event as decoded, or one element (or whole message) that could not be decoded and says why in
// Problem. Its strings and Data lie in the body of its message and in memory of the Decoder: they hold until Decoder.Reset,
// and as long as nobody changes the body. Clone what outlives that (strings.Clone).
type Event struct {
	Source, ID, Type string
	Account          string          // an account id (billing.AccountID), not its token
	Time             int64           // Unix nanoseconds, UTC
	Data             []billing.Field // sorted by key, no key twice

	AccountHash uint32 // of Account: its TokenHash, which decides on the partition
	Identity    Hash   // of Source, ID and Account: what must not be priced twice
	Content     Hash   // of Type, Time and Data, in whatever order and body format the data came

	Index   int      // place of the event in its message, from 0
	Problem *Problem // nil, or why this cannot be priced; the fields above then hold what could be read, the hashes nothing
}

// Usage returns the event as the vocabulary has it. It shares Data and all strings with e.
func (e *Event) Usage() billing.UsageEvent {
	return billing.UsageEvent{
		Source: e.Source, ID: e.ID, Type: e.Type, Account: billing.AccountID(e.Account),
		Time: time.Unix(0, e.Time).UTC(), Data: e.Data,
	}
}

// Problem says why a message or an event cannot be priced. As an error it reads as its detail.
type Problem struct {
	Reason string // one of the Reason constants
	Detail string // a sentence for people, beginning with the attribute concerned; the same for the same bytes
}

func (p *Problem) Error() string { return p.Detail }

func problem(reason, format string, args ...any) *Problem {
	return &Problem{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// Validate reports the first thing about an event for which a Decoder would refuse it, nil if there is none. An event
// that passes decodes from every body format to what it is.
func Validate(e *billing.UsageEvent) *Problem {
	for _, a := range [...]struct{ name, value string }{{"id", e.ID}, {"source", e.Source}, {"type", e.Type}} {
		if p := checkAttribute(a.name, a.value); p != nil {
			return p
		}
	}
	if p := checkAccount(string(e.Account)); p != nil {
		return p
	}
	if !timeInside(e.Time) {
		return timeProblem(e.Time.UTC().Format(time.RFC3339Nano))
	}
	if p := checkFieldCount(len(e.Data)); p != nil {
		return p
	}
	for i, f := range e.Data {
		if !utf8.ValidString(f.Key) || !utf8.ValidString(f.Text) {
			return problem(ReasonBadData, "data: field %s is not valid UTF-8", shown(f.Key))
		}
		if slices.ContainsFunc(e.Data[:i], func(before billing.Field) bool { return before.Key == f.Key }) {
			return duplicateField(f.Key)
		}
	}
	return nil
}

// sortFields brings data into the order that it has in an Event, and finds keys that are there twice.
func sortFields(fields []billing.Field) *Problem {
	const few = 16 // beyond, sorting by insertion would take too many steps
	if len(fields) > few {
		slices.SortFunc(fields, func(a, b billing.Field) int { return strings.Compare(a.Key, b.Key) })
	}
	for i := 1; i < len(fields); i++ {
		f, at := fields[i], i
		for ; at > 0 && fields[at-1].Key > f.Key; at-- {
			fields[at] = fields[at-1]
		}
		if at > 0 && fields[at-1].Key == f.Key {
			return duplicateField(f.Key)
		}
		if at < i {
			fields[at] = f
		}
	}
	return nil
}

// checkAttribute holds id, source and type to their limits.
func checkAttribute(name, value string) *Problem {
	switch {
	case value == "":
		return missing(name)
	case len(value) > AttributeBytesMax:
		return problem(ReasonBadAttribute, "%s: is %d bytes long, at most %d are allowed", name, len(value), AttributeBytesMax)
	case !printable(value):
		return problem(ReasonBadAttribute, "%s: %s holds control characters or invalid UTF-8", name, shown(value))
	}
	return nil
}

// checkAccount holds the subject to what an account id may be.
func checkAccount(subject string) *Problem {
	if subject == "" {
		return missing("subject")
	}
	if !printable(subject) {
		return problem(ReasonBadAccount, "subject: %s holds control characters or invalid UTF-8", shown(subject))
	}
	if err := billing.AccountID(subject).Validate(); err != nil {
		return problem(ReasonBadAccount, "subject: %v", err)
	}
	return nil
}

func checkFieldCount(n int) *Problem {
	if n > DataFieldsMax {
		return problem(ReasonBadData, "data: has %d fields, at most %d are allowed", n, DataFieldsMax)
	}
	return nil
}

func missing(attribute string) *Problem {
	return problem(ReasonMissingAttribute, "%s: is missing", attribute)
}

func duplicateField(key string) *Problem {
	return problem(ReasonBadData, "data: field %s is there twice", shown(key))
}

func timeInside(t time.Time) bool {
	seconds := t.Unix()
	return seconds >= timeMinUnix && seconds < timeEndUnix
}

func timeProblem(shown string) *Problem {
	return problem(ReasonBadTime, "time: %s lies outside the years %d to %d", shown, yearMin, yearMax)
}

// printable reports whether text is valid UTF-8 without control characters, which CloudEvents forbids in attributes and
// which would let one producer write into another one's terminal.
func printable(text string) bool {
	n := len(text)
	if n >= 8 { // eight bytes at a time, the last ones perhaps twice
		odd := unprintable(load64(text, n-8))
		for i := 0; i < n-8; i += 8 {
			odd |= unprintable(load64(text, i))
		}
		return odd == 0 || printableUnicode(text)
	}
	for i := range n {
		if c := text[i]; c < ' ' || c > '~' {
			return printableUnicode(text)
		}
	}
	return true
}

// unprintable returns zero if all eight bytes are printable ASCII.
func unprintable(v uint64) uint64 {
	// What borrows from the byte above, or has its highest bit, is odd itself, so that nothing else need be masked out.
	return (v | (v - ' '*everyByte) | (v + everyByte)) & (0x80 * everyByte)
}

// everyByte times a byte is that byte eight times.
const everyByte = 0x0101010101010101

// ascii reports whether text is ASCII alone.
func ascii(text string) bool {
	n := len(text)
	if n >= 8 { // eight bytes at a time, the last ones perhaps twice
		all := load64(text, n-8)
		for i := 0; i < n-8; i += 8 {
			all |= load64(text, i)
		}
		return all&(0x80*everyByte) == 0
	}
	all := byte(0)
	for i := range n {
		all |= text[i]
	}
	return all < utf8.RuneSelf
}

func printableUnicode(text string) bool {
	for _, r := range text {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return false
		}
	}
	return utf8.ValidString(text)
}

// shown quotes a piece of input for a detail, cut to a length that a line of a terminal can carry.
func shown(text string) string {
	const bytesMax = 64
	if len(text) <= bytesMax {
		return fmt.Sprintf("%q", text)
	}
	cut := bytesMax
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return fmt.Sprintf("%q…", text[:cut])
}
