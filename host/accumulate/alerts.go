package accumulate

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tollway/tollway/host/rate"
)

// Why a threshold was reached. They are stable: alerts carry them.
const (
	AlertUsage      = "usage"      // a usage event was priced
	AlertCorrection = "correction" // an event was voided, by which a tariff charges more
	AlertCatalog    = "catalog"    // a catalog took effect: its alert is new, or usage was rated again
	AlertClose      = "close"      // the period before was closed, and left something
)

// Alert says that an account has reached a threshold, as it is kept and published.
// It says nothing that the log does not decide.
type Alert struct {
	ID        string      `json:"id"`    // alert, account token, period, threshold, crossing; its calendar, but for UTC from the 1st
	Alert     string      `json:"alert"` // its name in the catalog
	Account   string      `json:"account"`
	Period    AlertPeriod `json:"period"`
	Measure   string      `json:"measure"` // amount or units
	Currency  string      `json:"currency,omitempty"`
	Meter     string      `json:"meter,omitempty"`
	Tariffs   []string    `json:"tariffs,omitempty"`
	Threshold string      `json:"threshold"` // decimal
	Value     string      `json:"value"`     // decimal: what was reached
	Crossing  int         `json:"crossing"`  // 1 for the first time in the period
	Cause     string      `json:"cause"`     // an Alert constant
	// Event is the one that did it, where it was one.
	Event    *AlertEvent `json:"event,omitempty"`
	Position uint64      `json:"position"`     // stream sequence of the message that did it
	At       string      `json:"at,omitempty"` // when the log took that in, RFC 3339; empty where nobody knows
}

// AlertPeriod is a billing period.
type AlertPeriod struct {
	ID    string `json:"id"`
	Start string `json:"start"` // RFC 3339
	End   string `json:"end"`
}

// AlertEvent names an event.
type AlertEvent struct {
	Source string `json:"source"`
	ID     string `json:"id"`
	Time   string `json:"time"` // RFC 3339
}

// Alerted is which thresholds an account has reached in a period that is open.
type Alerted struct {
	Account   string        `json:"account"`
	Calendar  rate.Calendar `json:"calendar"`
	Period    int64         `json:"period"`     // its start, unix ns
	PeriodEnd int64         `json:"period_end"` // unix ns
	Reached   []Reached     `json:"reached"`    // by alert, in the order in which they were first reached
}

// Reached is a threshold that was reached.
type Reached struct {
	Alert     string `json:"alert"`
	Threshold string `json:"threshold"` // decimal
	Above     bool   `json:"above,omitempty"`
	Times     int    `json:"times"` // how often it was reached from below
}

// alertedKey names an Alerted.
type alertedKey struct {
	account  string
	calendar rate.Calendar
	period   int64
}

func (a *Alerted) key() alertedKey { return alertedKey{a.Account, a.Calendar, a.Period} }

// bytes is the key in the table.
func (k alertedKey) bytes() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(k.period))
	b = binary.BigEndian.AppendUint32(b, uint32(k.calendar.AnchorDay))
	b = binary.AppendUvarint(b, uint64(len(k.calendar.Zone)))
	b = append(b, k.calendar.Zone...)
	return append(b, k.account...)
}

// AddAlert keeps an alert that was fired.
func (s *State) AddAlert(a *Alert) error {
	b, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("accumulate: alert %s: %w", a.ID, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filling.alerts = append(s.filling.alerts, b)
	return nil
}

// AlertedOf returns which thresholds an account has reached in a period. Its list
// must not be changed. It is for the owner.
func (s *State) AlertedOf(account string, c rate.Calendar, start int64) Alerted {
	return s.alerted[alertedKey{account, c, start}]
}

// SetAlerted keeps which thresholds an account has reached in a period, in place of
// what was.
func (s *State) SetAlerted(a Alerted) error {
	b, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("accumulate: alerts of %q: %w", a.Account, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alerted[a.key()] = a
	s.filling.others = append(s.filling.others, otherEntry{TableAlerts, tableEntry{a.key().bytes(), b}})
	return nil
}

// DropAlerted forgets the thresholds that were reached in a calendar's periods up to
// a time, unix ns: they are closed, and reach none any more.
func (s *State) DropAlerted(c rate.Calendar, until int64) {
	var gone []alertedKey
	for k, a := range s.alerted {
		if k.calendar == c && a.PeriodEnd <= until {
			gone = append(gone, k)
		}
	}
	slices.SortFunc(gone, func(a, b alertedKey) int {
		return cmp.Or(cmp.Compare(a.period, b.period), strings.Compare(a.account, b.account))
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range gone {
		delete(s.alerted, k)
		s.filling.others = append(s.filling.others, otherEntry{TableAlerts, tableEntry{k.bytes(), nil}})
	}
}

// Track has the accounts noted whose slots change, or no longer.
func (s *State) Track(on bool) {
	s.Touched(func(*rate.Account) {})
	s.tracks = on
}

// Tracks reports whether accounts whose slots change are noted. It is for the owner.
func (s *State) Tracks() bool { return s.tracks }

// touch notes that a slot of an account has changed.
func (s *State) touch(a *rate.Account) {
	if !a.Touched {
		a.Touched = true
		s.touched = append(s.touched, a)
	}
}

// Touched calls fn with the accounts of which a slot has changed since the last
// call, while Track was on, in the order in which they first did. It is for the
// owner.
func (s *State) Touched(fn func(*rate.Account)) {
	for i, a := range s.touched {
		a.Touched, s.touched[i] = false, nil
		fn(a)
	}
	s.touched = s.touched[:0]
}

// loadAlerted takes an entry of the table of alerts.
func (l *Loader) loadAlerted(value []byte) error {
	var a Alerted
	if err := json.Unmarshal(value, &a); err != nil {
		return fmt.Errorf("%w: alerts of an account: %w", errRecord, err)
	}
	l.state.alerted[a.key()] = a
	return nil
}
