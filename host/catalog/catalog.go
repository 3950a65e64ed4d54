package catalog

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// Limits on what a catalog may hold. They keep a mistake (a generated file, a
// table in the wrong place) from costing memory in every host.
const (
	NameMax          = 63      // bytes of a meter's, tariff's or rule's name
	EventTypeMax     = 255     // bytes of a CloudEvents type
	KeyMax           = 255     // bytes of a data key
	DimensionsMax    = 32      // dimensions of a meter
	FilterKeysMax    = 32      // keys of a meter's filter
	FilterValuesMax  = 1_000   // values of one key of a filter
	MetersMax        = 10_000  // meters of a catalog
	TariffsMax       = 10_000  // tariffs of a catalog
	VersionsMax      = 1_000   // versions of a tariff
	SubscriptionsMax = 1_000   // subscriptions of an account
	RulesMax         = 100     // invoice rules of an account or of billing
	AlertsMax        = 1_000   // alerts of a catalog
	ThresholdsMax    = 20      // thresholds of an alert
	RowsMax          = 10_000  // entries of one list or mapping in params and details
	ParamsMaxBytes   = 1 << 20 // canonical params of a version or subscription
	DetailsMaxBytes  = 1 << 16 // canonical details of an account or seller
)

// Catalog is everything that decides how usage is priced. See the package
// comment for who may read or change it when.
type Catalog struct {
	Meters   map[string]*Meter
	Tariffs  map[string]*Tariff
	Accounts map[billing.AccountID]*Account
	Alerts   map[string]*Alert
	// DefaultSubscriptions are the tariffs of accounts that are not listed, in
	// alphabetical order.
	DefaultSubscriptions []string
	Billing              Billing

	// hasDefaults and hasBilling tell a file that says nothing from one that
	// says the default: only the latter replaces what is in force.
	hasDefaults bool
	hasBilling  bool

	defaultsAt origin
	broken     bool   // Parse found problems
	index      *index // nil until the catalog is resolved
}

// Meter selects usage events and says where their quantity and dimensions are.
type Meter struct {
	Name      string
	EventType string // the CloudEvents type that it measures
	// Filter lists data fields that must have one of the given values, sorted
	// by key; empty selects every event of the type.
	Filter []Condition
	// Quantity is the data key of the quantity; empty: each event counts 1.
	Quantity string
	// Amount is the data key of money that the event carries; empty: none.
	Amount string
	// Dimensions are the data keys that are kept, in alphabetical order.
	Dimensions []string

	at       origin
	resolved bool
}

// Condition is met by an event whose data field Key has one of the Values.
type Condition struct {
	Key    string
	Values []string // sorted, distinct; texts as in [billing.Field]
}

// Tariff prices the events of a meter.
type Tariff struct {
	Name     string
	Meter    string
	Currency billing.Currency
	// GroupBy has one slot, and so its own lines, per combination of these
	// dimensions; in alphabetical order.
	GroupBy []string
	// Rounding is that of finished lines.
	Rounding billing.Rounding
	// Versions are sorted by EffectiveFrom, which are distinct.
	Versions []*TariffVersion

	at       origin
	resolved bool
}

// TariffVersion is the price list in force from a time on, until the next one.
type TariffVersion struct {
	EffectiveFrom time.Time // UTC
	// Plugin is the reference as written in the file: a built-in's name, a path
	// to a .wasm file (with #NAME behind it where it has several tariffs), or
	// NAME@sha256:DIGEST.
	Plugin string
	// Module and Name are what the reference stands for, set by Resolve: the
	// digest of the plugin, "sha256:…", and the tariff within it.
	Module string
	Name   string
	Params json.RawMessage // canonical JSON object

	at         origin
	pluginLine int
	params     *node // as written, to find the line of a problem; nil when stored
}

// Account is a customer whose subscriptions are listed.
type Account struct {
	ID billing.AccountID
	// TimeZone is an IANA name; empty: that of Billing.
	TimeZone string
	// AnchorDay is the day of the month on which periods start; 0: that of Billing.
	AnchorDay int
	// Subscriptions are sorted by tariff and id.
	Subscriptions []*Subscription
	// InvoiceRules replace those of Billing; nil: they do not.
	InvoiceRules []InvoiceRule
	// Details are printed on invoices and never used in pricing: a canonical
	// JSON object, nil when there are none.
	Details json.RawMessage

	at       origin
	resolved bool
	zone     *time.Location // of TimeZone; nil when that is empty
}

// Subscription puts an account under a tariff for a span of time.
type Subscription struct {
	// ID is unique for the tariff within the account. It is the tariff's name
	// where the file names none.
	ID     string
	Tariff string
	From   time.Time // inclusive, UTC; zero: from the beginning
	Until  time.Time // exclusive, UTC; zero: without end
	// Params replace top-level keys of the tariff version's: a canonical JSON
	// object, nil when there are none.
	Params json.RawMessage
	// Overrides give it other params for spans of time, sorted, none overlapping.
	Overrides []Override

	at       origin
	params   *node
	override *Override // of a span: whose params it has; nil: the subscription's own
}

// CloseMode says who closes periods.
type CloseMode string

// The close modes.
const (
	CloseAutomatic CloseMode = "automatic" // the host, when the grace time is over
	CloseManual    CloseMode = "manual"    // an operator
)

// ClockMode says by which clock the grace time is over.
type ClockMode string

// The clock modes.
const (
	ClockWall  ClockMode = "wall"  // that of the host
	ClockEvent ClockMode = "event" // the watermark: the latest event time seen
)

// Billing has the settings that all accounts share.
type Billing struct {
	Period       string // "month", the only one
	AnchorDay    int    // 1 to 31; 29 to 31 mean the last day in shorter months
	TimeZone     string // IANA name
	Grace        time.Duration
	MaxAhead     time.Duration // how far an event's time may lie behind that of its message in the log
	Close        CloseMode
	Clock        ClockMode
	InvoiceRules []InvoiceRule
	Seller       json.RawMessage // printed on invoices: a canonical JSON object, nil when there is none

	zone *time.Location // of TimeZone; nil stands for UTC
}

// DefaultBilling is what holds where a catalog says nothing: calendar months
// in UTC, closed automatically 72 hours after their end.
func DefaultBilling() Billing {
	return Billing{
		Period: "month", AnchorDay: 1, TimeZone: "UTC", Grace: 72 * time.Hour,
		Close: CloseAutomatic, Clock: ClockWall, MaxAhead: DefaultMaxAhead, zone: time.UTC,
	}
}

// DefaultMaxAhead is how far events may be dated ahead where a catalog does not
// say: far enough for usage that is booked a year before.
const DefaultMaxAhead = 366 * 24 * time.Hour

// AnyTimeAhead is more than any event can be dated ahead.
const AnyTimeAhead = time.Duration(1<<63 - 1)

// InvoiceRule is a plugin of the kind rule, which runs over the lines of an
// invoice when it is made and adds its own.
type InvoiceRule struct {
	Name   string // unique in its list; the invoice's lines carry it
	Plugin string // reference, as that of a TariffVersion
	// Module and Entry are what the reference stands for, set by Resolve: the
	// digest of the plugin, "sha256:…", and the rule within it.
	Module   string
	Entry    string
	Params   json.RawMessage // canonical JSON object
	Currency billing.Currency
	// Rounding is that of the rule's finished lines, as a tariff's is.
	Rounding billing.Rounding
	// AppliesTo are the tariffs whose lines the rule sees, in alphabetical order;
	// empty: all. See Sees for the lines of other rules.
	AppliesTo []string

	at         origin
	pluginLine int
	params     *node // as written; nil when stored
}

// Covers reports whether the rule sees the lines of a tariff.
func (r *InvoiceRule) Covers(tariff string) bool {
	return len(r.AppliesTo) == 0 || slices.Contains(r.AppliesTo, tariff)
}

// Sees reports whether the rule sees the lines of a rule before it: that one
// must look at no tariff that this one does not, so that a tax on one tariff
// counts a discount on it, and not a minimum over all.
func (r *InvoiceRule) Sees(earlier *InvoiceRule) bool {
	if len(r.AppliesTo) == 0 {
		return true
	}
	return len(earlier.AppliesTo) > 0 && !slices.ContainsFunc(earlier.AppliesTo, func(tariff string) bool { return !r.Covers(tariff) })
}

// RulesOf returns the invoice rules of an account, in the order in which they
// run: its own, or those of the billing settings.
func (c *Catalog) RulesOf(id billing.AccountID) []InvoiceRule {
	if a := c.Accounts[id]; a != nil && a.InvoiceRules != nil {
		return a.InvoiceRules
	}
	return c.Billing.InvoiceRules
}

// IsEmpty reports whether the catalog says nothing at all, as that of an empty file
// does.
func (c *Catalog) IsEmpty() bool {
	return len(c.Meters)+len(c.Tariffs)+len(c.Accounts)+len(c.Alerts) == 0 && !c.hasDefaults && !c.hasBilling
}

// origin is where an object was written. Stored objects have none.
type origin struct {
	file string
	line int
	item int // number within the list that it stands in, from 0
}

// newCatalog makes an empty catalog with the default billing settings.
func newCatalog() *Catalog {
	return &Catalog{
		Meters:   map[string]*Meter{},
		Tariffs:  map[string]*Tariff{},
		Accounts: map[billing.AccountID]*Account{},
		Alerts:   map[string]*Alert{},
		Billing:  DefaultBilling(),
	}
}
