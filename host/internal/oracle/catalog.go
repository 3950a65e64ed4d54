package oracle

import "time"

// Catalog is what prices usage. Written as JSON it is a catalog for the engine.
type Catalog struct {
	Meters               []Meter   `json:"meters"`
	Tariffs              []Tariff  `json:"tariffs"`
	Accounts             []Account `json:"accounts,omitempty"`
	DefaultSubscriptions []string  `json:"default_subscriptions,omitempty"` // of accounts that are not listed
	Billing              Billing   `json:"billing"`
}

// Meter selects events.
type Meter struct {
	Name       string            `json:"name"`
	EventType  string            `json:"event_type"`
	Filter     map[string]string `json:"filter,omitempty"`
	Quantity   string            `json:"quantity,omitempty"` // key in data; "" = 1 per event
	Dimensions []string          `json:"dimensions,omitempty"`
}

// Tariff prices the events of a meter.
type Tariff struct {
	Name     string    `json:"name"`
	Meter    string    `json:"meter"`
	Currency string    `json:"currency"`
	GroupBy  []string  `json:"group_by,omitempty"`
	Rounding *Rounding `json:"rounding,omitempty"` // of finished lines; nil: half_up to hundredths
	Versions []Version `json:"versions"`           // by EffectiveFrom
}

// Rounding names how a number is rounded.
type Rounding struct {
	Scale int    `json:"scale"`
	Mode  string `json:"mode"`
}

// Version is a tariff's prices from an instant on.
type Version struct {
	EffectiveFrom time.Time      `json:"effective_from"`
	Plugin        string         `json:"plugin"`
	Params        map[string]any `json:"params"` // decimals as text
}

// Account is a listed account.
type Account struct {
	ID            string         `json:"id"`
	TimeZone      string         `json:"time_zone,omitempty"`
	AnchorDay     int            `json:"anchor_day,omitempty"`
	Subscriptions []Subscription `json:"subscriptions"`
}

// Subscription has an account priced by a tariff.
type Subscription struct {
	ID     string         `json:"id"`
	Tariff string         `json:"tariff"`
	From   *time.Time     `json:"from,omitempty"`
	Until  *time.Time     `json:"until,omitempty"`
	Params map[string]any `json:"params,omitempty"` // override those of the tariff, member by member
}

// Billing is what holds for all accounts.
type Billing struct {
	TimeZone     string        `json:"time_zone"`
	AnchorDay    int           `json:"anchor_day"`
	InvoiceRules []InvoiceRule `json:"invoice_rules,omitempty"`
}

// InvoiceRule charges for the part of a period in which something was in force. It is
// rounded half_up to hundredths.
type InvoiceRule struct {
	Name      string         `json:"name"`
	Plugin    string         `json:"plugin"` // proration
	Params    map[string]any `json:"params"` // decimals as text
	Currency  string         `json:"currency"`
	AppliesTo []string       `json:"applies_to,omitempty"` // tariffs; none: all
}

// Event is one usage event, in the log's order.
type Event struct {
	Source, ID, Type, Account string
	Time                      time.Time
	Data                      map[string]string
	Of                        *[2]string // source and id of the event that a void or an amendment corrects
	To                        *To        // what an amendment makes of it
}

// To is what an event should have said.
type To struct {
	Time time.Time // zero: as it did
	Data map[string]string
}

// Entry is what stands at one place of a partition's log. One of its members is
// set.
type Entry struct {
	Position uint64
	Catalog  *Catalog // comes into force
	Reprice  bool     // it reaches back into what is priced
	Events   []Event  // of one message
	Close    *Close
	Letters  *Order
}

// Close closes a calendar's periods up to an end.
type Close struct {
	Zone       string
	AnchorDay  int
	Start, End time.Time // of the last of them
}

// Order settles dead letters.
type Order struct {
	Discard bool // else replay
	Letters []Letter
}

// Letter is a dead letter.
type Letter struct {
	Number          int // within the partition, from 1
	Position        uint64
	Index           int // within the message
	Event           Event
	Reason, Outcome string // Outcome is "" while it is open
}

// Counts are in events.
type Counts struct{ Read, Priced, Duplicates, DeadLettered, Discarded int }

// Result is what a log comes to. Its texts are made to be compared as sets.
type Result struct {
	Counts
	// Lines are the lines of all invoices, sorted, each with what adjusts it:
	// account|period start, UTC|currency|tariff|subscription|version|group|line|quantity|amount.
	Lines []string
	// Open are the slots of open periods with usage, sorted:
	// account|period start, UTC|currency|tariff|subscription|version|group|events|amount.
	Open    []string
	Letters []Letter // by number
	After   []Counts // those after each entry of the log
}
