package query

import (
	"strings"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// Position is a place in one partition's usage log: everything up to and
// including Sequence.
type Position struct {
	Stream    string // name of the stream, "USAGE-3"
	Partition int    // number of the partition, from 0
	Sequence  uint64 // stream sequence; 0 is before the first message
}

// AsOf says how far the answer to a query has seen.
type AsOf struct {
	Positions       []Position // one per partition concerned, by partition
	Watermark       time.Time  // latest event time seen in these partitions; zero when none was
	CatalogRevision uint64     // lowest catalog revision in force in these partitions
}

// Line is one line item as it stands.
type Line struct {
	ID          string // the tariff's name for the line, "tier_2"
	Description string
	Quantity    billing.Quantity
	// Amount is rounded as the tariff says, as it will be on the invoice.
	Amount billing.Amount
	// AmountText is Amount at the tariff's rounding scale, zeros included.
	AmountText string
}

// Subtotal is the priced state of one subscription, tariff version and group
// combination in one billing period.
type Subtotal struct {
	Account       billing.AccountID
	Subscription  string
	Tariff        string
	Meter         string
	Currency      billing.Currency
	Version       time.Time // the tariff version's effective_from
	Module        string    // digest of the plugin that priced it, "sha256:…"
	Period        billing.Period
	Group         []billing.Field // group_by dimensions and their values
	Lines         []Line
	Amount        billing.Amount // sum of the rounded lines
	AmountText    string
	Events        uint64
	LastEventTime time.Time // zero when no event was priced
	Final         bool      // the period is closed: the figure is on an invoice
}

// Total is the sum of subtotals of one currency and period.
type Total struct {
	Currency   billing.Currency
	Amount     billing.Amount
	AmountText string // at the finest rounding scale of the subtotals summed
}

// Filter selects subtotals. Zero fields select everything.
type Filter struct {
	Account  billing.AccountID
	Period   string // "2026-10" or "2026-10-01"; empty: the newest period of each account
	Tariff   string
	Meter    string
	Currency billing.Currency
	// Latest asks for all that was read from the log, not only for what a
	// checkpoint has made durable: sooner, but a crash takes it back until the log
	// is read again.
	Latest bool
}

// view is the state that the filter asks for.
func (f Filter) view() accumulate.View {
	if f.Latest {
		return accumulate.Latest
	}
	return accumulate.Committed
}

// Page asks for a part of a list.
type Page struct {
	Size  int    // rows at most; 0 means DefaultPageSize
	Token string // opaque, from the page before; empty for the first
}

// Limits of a page of subtotals, in rows.
const (
	DefaultPageSize = 100
	MaxPageSize     = 1000
)

// Subtotals is one page of an answer.
type Subtotals struct {
	Subtotals []Subtotal // by account, period, tariff, subscription, version, group
	Totals    []Total    // of this page's subtotals, by currency
	NextToken string     // empty on the last page
	AsOf      AsOf
	// Moved says that a page of a list has seen more than the first one, or that a
	// checkpoint came while it was read: the pages together are no single cut.
	Moved bool

	shared  *form    // of an answer that several have; nil for one's own
	scratch *scratch // that it is made in; nil for memory of its own

	last rate.Key // of the last row
	more bool     // there is a row behind it
	sums []sum    // what Totals are made of, in order of first appearance
}

// PeriodState says how far a billing period of one calendar has come.
type PeriodState struct {
	Period    billing.Period
	Zone      string // IANA name
	AnchorDay int
	// Closed and Open list partitions: a period is final when Open is empty.
	Closed []int
	Open   []int
	// ClosesAt is the end of the grace time; with clock: event it is compared
	// with the watermark, else with wall time.
	ClosesAt time.Time
	// Waits says what the close waits for in the partitions in which it is open.
	Waits []PeriodWait
	// Parked lists the accounts that have no invoice of the period although it is
	// closed for them, because a plugin failed, and those whose invoice cannot be
	// adjusted for such a cause; by account.
	Parked []Parked
}

// PeriodWait is something that the close of a period waits for.
type PeriodWait struct {
	Reason     string // stable, snake_case
	Detail     string // for people
	Partitions []int
}

// Parked says what stands in the way of an account's invoices of a closed period.
type Parked struct {
	Account   billing.AccountID
	Partition int
	Reason    string // stable, snake_case: tariff_fault, rule_fault, overflow, …
	Detail    string // for people
	Tariff    string // that failed; empty where it was none
	Rule      string // that failed; empty where it was none
	Module    string // digest of the plugin that failed; empty where it was none
}

// NamesPeriod reports whether a name, a period's id or the month in which it
// starts, is that of the period with the id.
func NamesPeriod(name, id string) bool {
	return name == id || len(name) == len("2026-10") && strings.HasPrefix(id, name+"-")
}

// DeadLetter is an event that could not be priced, kept with its reason.
type DeadLetter struct {
	Partition int
	Number    uint64 // of the dead letter within its partition, from 1
	Position  uint64 // stream sequence of the message it came in
	Index     int    // of the event within that message, from 0
	Source    string
	ID        string
	Type      string
	Account   string
	Time      string // RFC 3339 as decoded; empty when undecodable
	Reason    string // stable, snake_case
	Detail    string // for people: what was wrong and where
	Event     []byte // the event as CloudEvents JSON, or the bytes that could not be decoded
	// Status is "open", or "priced", "duplicate" or "discarded" once that settled
	// it. Attempts counts replays; Reason and Detail are those of the last. By, At
	// and Why tell of the last replay, or of who discarded it and why.
	Status   string
	Attempts int
	By       string
	At       string // RFC 3339
	Why      string
}

// StatusOpen is the status of a dead letter that nothing has settled.
const StatusOpen = "open"

// Counters balance: Read = Priced + Duplicates + DeadLettered, counted in
// events; an undecodable message counts as one.
type Counters struct {
	Read         uint64
	Priced       uint64
	Duplicates   uint64
	DeadLettered uint64
	Discarded    uint64 // of those dead-lettered
}
