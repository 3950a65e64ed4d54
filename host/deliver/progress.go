package deliver

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// progress is how far a sink has come, as it is kept: every invoice up to Read is
// delivered or passed over, but for those in Lanes.
type progress struct {
	Epoch     uint64  `json:"epoch"` // of the host that wrote it
	Read      uint64  `json:"read"`  // last sequence of the INVOICES stream that was read
	Delivered uint64  `json:"delivered"`
	Skipped   uint64  `json:"skipped,omitempty"` // passed over by an operator
	Stopped   string  `json:"stopped,omitempty"` // why nothing is handed over until an operator asks for it
	Lanes     []*lane `json:"lanes,omitempty"`
}

// lane is the queue of an account's invoices that are not delivered.
type lane struct {
	Account  string    `json:"account"`
	Queue    []uint64  `json:"queue"`              // sequences in the INVOICES stream, in order
	Invoice  string    `json:"invoice,omitempty"`  // id of the first of them, once it was tried
	Attempts int       `json:"attempts,omitempty"` // for the first of them
	Since    time.Time `json:"since,omitzero"`     // of the first attempt
	Next     time.Time `json:"next,omitzero"`      // of the next attempt
	Error    string    `json:"error,omitempty"`    // why the last attempt failed
	Refused  bool      `json:"refused,omitempty"`  // the receiver does not want this invoice as it is

	flying bool // being handed over
	skip   bool // passed over, whatever comes of the attempt that is under way
}

// held reports whether the lane's first invoice was tried and not taken.
func (l *lane) held() bool { return l.Attempts > 0 }

// lanes are a sink's lanes.
type lanes struct {
	all     map[string]*lane // by account
	waiting int              // invoices in lanes that are not held
	held    int              // invoices in lanes that are
	blocked int              // lanes that are held
}

func (p *progress) decode(b []byte) (*lanes, error) {
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("deliver: progress: %w", err)
	}
	l := &lanes{all: map[string]*lane{}}
	for _, one := range p.Lanes {
		if len(one.Queue) == 0 {
			return nil, fmt.Errorf("deliver: progress: account %q holds nothing", one.Account)
		}
		l.all[one.Account] = one
	}
	p.Lanes = nil
	l.count()
	return l, nil
}

// encode writes progress with the lanes as they are: in the order of their first
// invoices.
func (p progress) encode(l *lanes) ([]byte, error) {
	p.Lanes = make([]*lane, 0, len(l.all))
	for _, one := range l.all {
		p.Lanes = append(p.Lanes, one)
	}
	slices.SortFunc(p.Lanes, func(a, b *lane) int { return int(a.Queue[0]) - int(b.Queue[0]) })
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("deliver: progress: %w", err)
	}
	return b, nil
}

// count counts anew what is in the lanes.
func (l *lanes) count() {
	l.waiting, l.held, l.blocked = 0, 0, 0
	for _, one := range l.all {
		if one.held() {
			l.held += len(one.Queue)
			l.blocked++
		} else {
			l.waiting += len(one.Queue)
		}
	}
}

// add puts an invoice at the end of its account's lane.
func (l *lanes) add(account string, sequence uint64) {
	one := l.all[account]
	if one == nil {
		one = &lane{Account: account}
		l.all[account] = one
	}
	one.Queue = append(one.Queue, sequence)
	if one.held() {
		l.held++
	} else {
		l.waiting++
	}
}

// pop takes a lane's first invoice out.
func (l *lanes) pop(one *lane) {
	one.Queue = slices.Delete(one.Queue, 0, 1)
	*one = lane{Account: one.Account, Queue: one.Queue}
	if len(one.Queue) == 0 {
		delete(l.all, one.Account)
	}
	l.count()
}

// room reports whether more may be read.
func (l *lanes) room() bool {
	return l.waiting < waitingMax && l.held < heldMax && l.blocked < blockedMax
}

// due returns the lane whose turn it is, or nil, and when the next one has its.
func (l *lanes) due(now time.Time) (first *lane, next time.Time) {
	for _, one := range l.all {
		switch {
		case one.flying:
		case one.Next.After(now) && one.Next.Sub(now) <= pauseMax: // further away it was set by another clock
			if next.IsZero() || one.Next.Before(next) {
				next = one.Next
			}
		case first == nil || one.before(first):
			first = one
		}
	}
	return first, next
}

// before orders lanes that are due: those that were never tried come first, so
// that what fails holds up nothing that may not.
func (l *lane) before(o *lane) bool {
	if l.held() != o.held() {
		return !l.held()
	}
	return l.Queue[0] < o.Queue[0]
}
