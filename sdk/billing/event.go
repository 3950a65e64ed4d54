package billing

import (
	"errors"
	"time"
	"unicode/utf8"
)

// UsageEvent says that an account used something at some time. Its identity is Source and ID together: two
// events with the same identity are one event that was sent twice.
type UsageEvent struct {
	// Source is where the event was made, as CloudEvents define it: "//billing.example.com/gateway-7".
	Source string
	// ID tells the events of one source apart.
	ID string
	// Type says what was used; a catalog's meters select events by it: "api.request".
	Type string
	// Account is who used it: the CloudEvent's subject.
	Account AccountID
	// Time is when it was used. It decides the billing period and the version of the tariff.
	Time time.Time
	// Data is what is known of the usage: quantities, dimensions, carried amounts. Its order means nothing.
	Data []Field
}

// Field is one member of an event's data with its value as text: numbers as canonical decimals ("1.50" and 15e-1
// are "1.5"), strings as they are, true and false as words, objects and arrays as canonical JSON. A member that is
// null is absent.
type Field struct {
	Key, Text string
}

// What can be wrong with an event before anything is known of catalog and accounts.
var (
	ErrEventSource = errors.New("event has no source")
	ErrEventID     = errors.New("event has no id")
	ErrEventType   = errors.New("event has no type")
	ErrEventTime   = errors.New("event time is missing or outside the years 1700 to 2261")
	ErrEventText   = errors.New("event has text that is not UTF-8")
	ErrEventField  = errors.New("event data has a key twice")
)

// Value returns the text of the data member with the given key, and whether the event has it.
func (e *UsageEvent) Value(key string) (text string, present bool) {
	for i := range e.Data {
		if e.Data[i].Key == key {
			return e.Data[i].Text, true
		}
	}
	return "", false
}

// Validate returns every reason, joined, why no host would price the event whatever its catalog: a missing
// attribute, an account id out of bounds, a time that does not fit int64 nanoseconds, a key used twice.
func (e *UsageEvent) Validate() error {
	var problems []error
	if e.Source == "" {
		problems = append(problems, ErrEventSource)
	}
	if e.ID == "" {
		problems = append(problems, ErrEventID)
	}
	if e.Type == "" {
		problems = append(problems, ErrEventType)
	}
	if err := e.Account.Validate(); err != nil {
		problems = append(problems, err)
	}
	if !fitsNanoseconds(e.Time) {
		problems = append(problems, ErrEventTime)
	}
	if !utf8.ValidString(e.Source) || !utf8.ValidString(e.ID) || !utf8.ValidString(e.Type) {
		problems = append(problems, ErrEventText)
	}
	seen := make(map[string]struct{}, len(e.Data))
	for _, field := range e.Data {
		if _, twice := seen[field.Key]; twice {
			problems = append(problems, ErrEventField)
			break
		}
		seen[field.Key] = struct{}{}
	}
	return errors.Join(problems...)
}

// fitsNanoseconds reports whether t, and the billing period around it, can be told in int64 nanoseconds since 1970, as
// logs and tariffs do: they reach from 1677 into 2262, and whole years within are accepted.
func fitsNanoseconds(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 1700 && year < 2262
}
