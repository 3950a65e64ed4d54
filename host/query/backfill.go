package query

import (
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// Backfill is a named set of events that is tried before it is billed.
type Backfill struct {
	Name   string
	State  string // a Backfill constant
	Digest string // "sha256:…" of its events
	Events uint64
	By     string // who sent it
	At     time.Time
	// ShownAt is when its difference was shown last; zero: not yet.
	ShownAt time.Time
	// CommittedBy and CommittedAt say who had it written to the log, and when that began;
	// DoneAt is when all of it was read.
	CommittedBy         string
	CommittedAt, DoneAt time.Time
}

// States of a backfill. They are stable.
const (
	BackfillSending   = "sending"   // it is not whole yet
	BackfillReady     = "ready"     // to be committed or dropped
	BackfillWriting   = "writing"   // its events are being written to the log
	BackfillCut       = "cut"       // some of its events were written, and the rest is not here any more: it is to be sent again
	BackfillCommitted = "committed" // its events are in the log, and priced
)

// BackfillReport is what a backfill would change.
type BackfillReport struct {
	Backfill
	AsOf       AsOf // up to where the log was read: of each partition at least so far
	Priced     uint64
	Duplicates uint64
	Refused    []BackfillRefusal // events that would be dead letters, by reason, the most first
	Totals     []BackfillTotal   // of all accounts, by currency
	Accounts   []BackfillAccount // those with the largest differences, the largest first
	Different  uint64            // accounts and currencies that would be billed differently
	Unbilled   []Parked          // accounts of which a period could not be billed, at most BackfillUnbilledMax
	Closed     []BackfillClose   // the periods that were closed to find that out
}

// BackfillClose is up to which period a calendar was closed on trial, of a part of the
// set's accounts.
type BackfillClose struct {
	Partition int
	Zone      string
	AnchorDay int
	Period    billing.Period
}

// BackfillUnbilledMax is how many accounts a report lists that could not be billed.
const BackfillUnbilledMax = 100

// BackfillRefusal counts events that would be dead letters for the same reason.
type BackfillRefusal struct {
	Reason, Detail  string // the detail is the first one's
	Account         string
	Source, EventID string
	Events          uint64
}

// BackfillTotal is by how much a currency's bills differ.
type BackfillTotal struct {
	Currency        billing.Currency
	Old, New        string // of the lines that differ
	Difference      string
	DifferentAmount billing.Amount
}

// BackfillAccount is an account that would be billed differently in a currency.
type BackfillAccount struct {
	Account         billing.AccountID
	Partition       int
	Position        uint64 // up to where the log was read for it
	Currency        billing.Currency
	Old, New        string // of the lines that differ
	Difference      string
	Lines           []BackfillLine
	Events          []BackfillEvent // that would be priced for the account, the first of them
	More            uint64          // beyond
	DifferentAmount billing.Amount
}

// BackfillLine is a line item that would be other.
type BackfillLine struct {
	Period                   billing.Period // of the usage
	Closed                   bool           // the account's next invoice would adjust it
	Tariff, Rule             string         // the one or the other
	Subscription             string
	Version                  time.Time // of the tariff
	ID, Group, Description   string
	OldQuantity, NewQuantity string
	OldAmount, NewAmount     string
	Difference               string
}

// BackfillEvent names an event.
type BackfillEvent struct{ Source, ID string }
