package deliver

import (
	"cmp"
	"slices"
	"time"
)

// States of a sink. They are stable.
const (
	StateStarting   = "starting"   // its progress is not read yet
	StateDelivering = "delivering" // nothing is held
	StateRetrying   = "retrying"   // some accounts' invoices were not taken and are tried again
	StateFull       = "full"       // as many are held as may be: nothing more is read until some are taken
	StateStopped    = "stopped"    // the receiver wants no invoices any more (HTTP 410)
	StateFailed     = "failed"     // it cannot go on before the host starts again
)

// heldListMax is how many held accounts a status lists.
const heldListMax = 100

// Status says how a sink stands.
type Status struct {
	Name, Kind, Target string
	State              string
	Read               uint64 // last sequence of the INVOICES stream that was read
	Behind             uint64 // invoices in the stream that were not read
	Delivered          uint64 // invoices handed over since the sink began
	Skipped            uint64 // invoices passed over by an operator
	Pending            int    // invoices read and not handed over, held ones among them
	Error              string // why the sink stopped or failed
	Held               []Held // the first ones, in the order of their invoices
	HeldAccounts       int    // how many there are
}

// Held is an account whose next invoice was not taken.
type Held struct {
	Account  string
	Invoices int    // that wait, the one that was not taken among them
	Invoice  string // id of that one
	Sequence uint64 // its place in the INVOICES stream
	Attempts int
	Since    time.Time // of the first attempt
	Next     time.Time // of the next attempt
	Error    string    // why the last one failed
	Refused  bool      // the receiver does not want the invoice as it is
}

// publish shows the sink's state to readers.
func (w *worker) publish() {
	s := Status{
		Name: w.sink.Name, Kind: w.sink.kind(), Target: w.sink.target(), State: StateDelivering,
		Read: w.progress.Read, Delivered: w.progress.Delivered, Skipped: w.progress.Skipped,
		Pending: w.lanes.waiting + w.lanes.held, Error: w.progress.Stopped, HeldAccounts: w.lanes.blocked,
	}
	switch {
	case w.progress.Stopped != "":
		s.State = StateStopped
	case w.lanes.full():
		s.State = StateFull
	case w.lanes.blocked > 0:
		s.State = StateRetrying
	}
	now := w.now()
	if w.lanes.blocked > heldListMax && now.Sub(w.listed) < listInterval { // it takes its time with thousands
		w.mu.Lock()
		defer w.mu.Unlock()
		s.Held = w.status.Held
		w.status = s
		return
	}
	w.listed = now
	for _, one := range w.lanes.all {
		if one.held() {
			s.Held = append(s.Held, Held{
				Account: one.Account, Invoices: len(one.Queue), Invoice: one.Invoice, Sequence: one.Queue[0], Attempts: one.Attempts,
				Since: one.Since, Next: one.Next, Error: one.Error, Refused: one.Refused,
			})
		}
	}
	slices.SortFunc(s.Held, func(a, b Held) int { return cmp.Compare(a.Sequence, b.Sequence) })
	s.Held = slices.Clip(s.Held[:min(len(s.Held), heldListMax)])
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = s
}
