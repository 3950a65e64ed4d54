package query

import "github.com/tollway/tollway/sdk/billing"

// Reconciliation says what became of all that a period took in.
type Reconciliation struct {
	Period   string // as it was asked for
	Events   []ReconciledEvents
	Money    []ReconciledMoney
	Findings []Finding // what does not hold; empty when everything does
	AsOf     AsOf
}

// ReconciledEvents are a partition's events of the period, and of its whole log.
//
// Priced, Invoiced, Open and Parked count an event once for each subscription that
// it was priced under, as subtotals do: Priced = Invoiced + Open + Parked.
type ReconciledEvents struct {
	Partition int
	Priced    uint64
	Invoiced  uint64 // in subtotals that are final
	Open      uint64 // in those of calendars that are not closed
	Parked    uint64 // in those of accounts whose invoices are parked
	// Waiting, Discarded and Undated are dead letters: those of the period that are
	// open, those of it that were discarded, and open ones whose time cannot be read.
	Waiting, Discarded, Undated uint64
	Log                         Counters // of the whole log
}

// ReconciledMoney is a partition's money of the period in one currency:
// Priced = Invoiced + Adjusted + Open + Parked, and Issued = Invoiced + Adjusted + Rules.
type ReconciledMoney struct {
	Partition int
	Currency  billing.Currency
	Priced    string // subtotals
	Invoiced  string // lines of tariffs on the period's invoices
	Open      string // what is not billed of subtotals that are not final: late usage as well
	Parked    string // subtotals of accounts whose invoices are parked
	Rules     string // lines of invoice rules, and those that adjust them
	Adjusted  string // lines of tariffs on later invoices that adjust the period
	Issued    string // all that was billed of the period
	Invoices  uint64 // the period's own
}

// Finding is something that does not hold.
type Finding struct {
	Partition int
	Account   billing.AccountID // empty where it is not one account's
	Detail    string            // for people
}
