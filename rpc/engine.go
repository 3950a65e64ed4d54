package rpc

import (
	"context"
	"io"
	"time"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// Engine is what the services need of a host. All methods may be called from
// any number of goroutines at once. They answer from committed state, return
// when ctx is done, and give errors that are a [Fault] wherever a caller can
// do something about them. What they return is the caller's to keep.
type Engine interface {
	// Submit hands usage in and returns when it has its place before the log,
	// for which it may wait. The order of a caller's events of an account is
	// kept. After an error some of them may be written.
	Submit(ctx context.Context, chunk UsageChunk) (UsageTicket, error)
	// Partitions returns the number of partitions of the log.
	Partitions() int

	// AccountSubtotals returns all subtotals of filter.Account, as they were at
	// one checkpoint, with their totals. An account without any has none.
	AccountSubtotals(filter query.Filter) (query.Subtotals, error)
	// Subtotals returns a page of subtotals.
	Subtotals(filter query.Filter, page query.Page) (query.Subtotals, error)
	// Sums returns a page of sums of subtotals. All pages are of one cut, or say
	// that they are not.
	Sums(grouping query.Grouping, page query.Page) (query.SumPage, error)
	// History tells how an account's subtotals of a period came to be.
	History(ctx context.Context, request query.HistoryRequest) (query.History, error)
	// Forecast estimates what an account's period will come to at its end.
	Forecast(ctx context.Context, filter query.Filter) (query.Forecast, error)
	// WatchSubtotals begins to follow subtotals; heartbeat is the longest time
	// without an update.
	WatchSubtotals(filter query.Filter, heartbeat time.Duration) SubtotalWatch
	// WaitPosition returns nil once everything up to the positions is part of
	// the committed state. Its error is query.ErrNotReached when ctx ends before,
	// query.ErrInvalid for a partition or stream that is not there. A Position
	// without Stream means the usage stream of its partition.
	WaitPosition(ctx context.Context, positions []query.Position) error
	// WaitLatest returns nil once everything up to the positions is part of the
	// latest state, which a crash takes back to the committed one. Its errors are
	// those of WaitPosition.
	WaitLatest(ctx context.Context, positions []query.Position) error

	// Invoices returns a page of invoices, in an order that later closes do not
	// disturb.
	Invoices(ctx context.Context, filter InvoiceFilter, page query.Page) (Invoices, error)
	// Invoice returns the invoice with an id.
	Invoice(ctx context.Context, id string) (export.Invoice, query.AsOf, error)

	// InvoiceDocuments returns invoices as they were issued, by account, period,
	// currency and counter, behind a token: at most bytesMax bytes, save a single
	// document that is longer. It holds nothing when it returns.
	InvoiceDocuments(ctx context.Context, filter InvoiceFilter, token string, bytesMax int) (InvoiceDocuments, error)

	// Preview makes the invoices of an account and a period that is open, as a close
	// would now; an empty period is the current one.
	Preview(ctx context.Context, account billing.AccountID, period string) (Preview, error)

	// Periods returns the periods that have subtotals, newest first.
	Periods(ctx context.Context) ([]query.PeriodState, query.AsOf, error)
	// ClosePeriod closes periods and returns when every partition has read its
	// close.
	ClosePeriod(ctx context.Context, request CloseRequest) (Closed, error)

	// Reconcile compares what a period's usage came to with what its invoices say.
	Reconcile(ctx context.Context, period string) (query.Reconciliation, error)
	// ApplyCatalog checks a catalog and puts it in force in every partition.
	ApplyCatalog(ctx context.Context, request ApplyRequest) (Applied, error)
	// Catalog returns a page of the objects in force, by kind and name.
	Catalog(ctx context.Context, filter CatalogFilter, page query.Page) (CatalogPage, error)

	// DeadLetters returns a page of dead letters, by partition and number.
	DeadLetters(ctx context.Context, filter DeadLetterFilter, page query.Page) (DeadLetters, error)
	// DeadLetter returns one dead letter.
	DeadLetter(ctx context.Context, partition int, number uint64) (query.DeadLetter, query.AsOf, error)
	// CountDeadLetters counts the dead letters by reason.
	CountDeadLetters(ctx context.Context) ([]LetterCount, query.AsOf, error)
	// SettleDeadLetters replays or discards dead letters and returns when the
	// outcome is committed.
	SettleDeadLetters(ctx context.Context, request SettleRequest) (Settled, query.AsOf, error)

	// Status says how the host is doing.
	Status(ctx context.Context) (query.Status, error)
	// Snapshot writes the newest checkpoint of a partition to w, after calling begin
	// with what it is. It locks nothing while begin or w wait.
	Snapshot(ctx context.Context, partition int, begin func(query.SnapshotHead) error, w io.Writer) error

	PluginEngine
	DeliveryEngine
	AlertEngine
	BackfillEngine
}

// Queries is the reading part of an [Engine] over a host's query engine: embed
// it in what implements the rest.
type Queries struct{ Engine *query.Engine }

// AccountSubtotals implements [Engine].
func (q Queries) AccountSubtotals(filter query.Filter) (query.Subtotals, error) {
	return q.Engine.Account(filter)
}

// Subtotals implements [Engine].
func (q Queries) Subtotals(filter query.Filter, page query.Page) (query.Subtotals, error) {
	return q.Engine.List(filter, page)
}

// Sums implements [Engine].
func (q Queries) Sums(grouping query.Grouping, page query.Page) (query.SumPage, error) {
	return q.Engine.Sums(grouping, page)
}

// WatchSubtotals implements [Engine].
func (q Queries) WatchSubtotals(filter query.Filter, heartbeat time.Duration) SubtotalWatch {
	return q.Engine.Watch(filter, heartbeat)
}

// WaitPosition implements [Engine].
func (q Queries) WaitPosition(ctx context.Context, positions []query.Position) error {
	return q.Engine.Wait(ctx, positions)
}

// WaitLatest implements [Engine].
func (q Queries) WaitLatest(ctx context.Context, positions []query.Position) error {
	return q.Engine.WaitLatest(ctx, positions)
}

// UsageChunk is usage to be written. Its events are numbered from 0: those of
// Events, then those of each body.
type UsageChunk struct {
	Events []billing.UsageEvent // free again when Submit returns
	Bodies []UsageBody          // not to be changed before the ticket's Wait returns
}

// UsageBody is usage in a format that messages of the log have.
type UsageBody struct {
	ContentType string
	Data        []byte
}

// UsageTicket stands for a chunk on its way into the log.
type UsageTicket interface {
	// Wait returns what became of the chunk once the log's server has answered.
	// It fails when ctx ends before; some of the chunk may be written then.
	Wait(ctx context.Context) (UsageOutcome, error)
}

// UsageOutcome is what became of a chunk.
type UsageOutcome struct {
	Positions []query.Position // of the messages that carry its events; unconfirmed ones have sequence 0
	Runs      []UsageRun       // of all events, in order
	Rejected  []UsageRejection // by event
	// Cause is why some position has sequence 0; nil when none has.
	Cause error
}

// UsageRun is a number of events behind each other that have the same place.
type UsageRun struct {
	Events   int
	Position int // index into Positions; negative: they were rejected
}

// UsageRejection is an event that was turned away.
type UsageRejection struct {
	Event  int    // its number
	Reason string // stable
	Detail string // for people
}

// Preview is what an account's invoices of an open period would be.
type Preview struct {
	Period   billing.Period
	Invoices []export.Invoice
	Parked   *query.Parked // why a close would issue none; nil when it would
	AsOf     query.AsOf
}

// SubtotalWatch follows subtotals. Its methods are for one goroutine.
type SubtotalWatch interface {
	// Resume, called before Next, has the watch begin with what has changed since an
	// update of another one with the same filter, whose Resume it is given; when it
	// cannot it returns false, and the watch begins with a snapshot.
	Resume(text string) bool
	// Rest, called before Next, sets the shortest time between two changes.
	Rest(d time.Duration)
	// Next returns the next update: first the snapshot, in parts, then what
	// changes, merged to its newest state while nobody waits. It returns ctx's
	// error when ctx ends.
	Next(ctx context.Context) (query.Update, error)
	// Close lets go of the watch.
	Close()
}

// InvoiceFilter selects invoices. Zero fields select everything.
type InvoiceFilter struct {
	Account  billing.AccountID
	Period   string // "2026-10" or "2026-10-01"
	Currency billing.Currency
}

// Invoices is one page.
type Invoices struct {
	Invoices  []export.Invoice
	NextToken string
	AsOf      query.AsOf
}

// InvoiceDocuments is a part of an export.
type InvoiceDocuments struct {
	Documents [][]byte // canonical JSON, without a newline
	Next      string   // goes on behind them; the token asked with when there are none
	More      bool     // there are further ones
	AsOf      query.AsOf
}

// CloseRequest names the periods to close: those with this id in all calendars
// that match.
type CloseRequest struct {
	Period    string // "2026-10" or "2026-10-01"
	Zone      string // IANA name; empty: every zone
	AnchorDay int    // 0: every anchor day
	SkipGrace bool   // do not wait for the grace time to be over
}

// Closed says what a close did.
type Closed struct {
	Periods  []query.PeriodState // those that match, as they are now
	Invoices uint64              // issued by this close
	AsOf     query.AsOf          // behind the closes
}

// ApplyRequest carries a catalog.
type ApplyRequest struct {
	Files   []catalog.File
	Plugins map[string][]byte // Wasm modules by the path that the files give them
	Prune   bool              // remove objects that the files do not name
	// Signatures are those of the Plugins, by the same path.
	Signatures map[string][]byte
	DryRun     bool   // check and compare only
	Shadow     bool   // change nothing, and start shadows of what would change
	By         string // who applies it
	// Reprice has usage that is priced already be priced anew; with DryRun it is found out
	// what that would change, and told of so many accounts.
	Reprice  bool
	Accounts int
}

// Applied says what an apply did.
type Applied struct {
	// Problems are the catalog's mistakes. With any, nothing was changed and the
	// other fields are empty.
	Problems []catalog.Problem
	Revision uint64
	Digest   string
	Changes  []catalog.Change
	AsOf     query.AsOf // behind the change in every partition
	Warnings []string   // what the operator should know
	Shadows  []string   // tariffs whose shadows were started
	// Repriced is what Reprice with DryRun would change; nil without.
	Repriced *query.BackfillReport
}

// CatalogFilter selects catalog objects. Zero fields select everything.
type CatalogFilter struct {
	Kind, Name string
}

// CatalogPage is one page of the catalog in force.
type CatalogPage struct {
	Revision  uint64 // 0 before the first catalog
	Digest    string // of the whole catalog
	Objects   []catalog.Object
	NextToken string
	AsOf      query.AsOf
}

// DeadLetterFilter selects dead letters. Zero fields select everything.
type DeadLetterFilter struct {
	Account string // as the event wrote it; it may be no valid account
	Reason  string
	Status  string // see query.DeadLetter
}

// LetterCount is how many dead letters of a reason there are.
type LetterCount struct {
	Reason    string
	Open, All uint64
}

// LetterName names a dead letter.
type LetterName struct {
	Partition int
	Number    uint64 // within the partition, from 1
}

// SettleRequest says which dead letters are replayed or discarded: those named,
// or, when none is, all open ones that the filter selects.
type SettleRequest struct {
	Names   []LetterName
	Filter  DeadLetterFilter
	Discard bool
	Why     string // they are discarded
	By      string // who asks, for the record
}

// Settled counts what became of them; Passed were settled before.
type Settled struct{ Priced, Duplicates, Refused, Discarded, Passed uint64 }

// DeadLetters is one page.
type DeadLetters struct {
	DeadLetters []query.DeadLetter
	Counters    query.Counters // of everything read, whatever was selected
	NextToken   string
	AsOf        query.AsOf
}
