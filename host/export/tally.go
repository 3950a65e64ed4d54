package export

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// Tally adds up the invoices of an export and checks them while it does: they
// must come in the order of an export, each once, and the lines of each must add
// up to its total. It belongs to one goroutine.
type Tally struct {
	last     *Name
	invoices uint64
	lines    uint64
	totals   map[billing.Currency]*sum
	zones    map[Zone]uint64
}

type sum struct {
	invoices, lines uint64
	amount          billing.Amount
	digits          int // behind the point, of the finest total
}

// Summary is what a Tally comes to.
type Summary struct {
	Invoices uint64
	Lines    uint64
	Totals   []Total // by currency
	Zones    []Zoned // by period, start and end
}

// Total is the sum of all invoices of a currency.
type Total struct {
	Currency billing.Currency `json:"currency"`
	Invoices uint64           `json:"invoices"`
	Lines    uint64           `json:"lines"`
	Amount   string           `json:"amount"` // with as many decimals as the finest of the invoices
}

// Zone is a period as the accounts of a time zone have it. Invoices carry the
// offset of the zone, not its name: the catalog may call it otherwise tomorrow.
type Zone struct {
	Period string `json:"period"` // id
	Start  string `json:"start"`  // RFC 3339 with the zone's offset
	End    string `json:"end"`
}

// Zoned is how many invoices there are of a Zone.
type Zoned struct {
	Zone
	Invoices uint64 `json:"invoices"`
}

// NewTally makes an empty Tally.
func NewTally() *Tally {
	return &Tally{totals: map[billing.Currency]*sum{}, zones: map[Zone]uint64{}}
}

// What is wrong with an export, wrapped with the invoice it concerns.
var (
	ErrOrder = errors.New("export: an invoice stands before one that it should follow, or stands twice")
	ErrSum   = errors.New("export: the lines of an invoice do not add up to its total")
	ErrName  = errors.New("export: the id of an invoice is not that of its account, period and currency")
)

// Add adds an invoice. Its errors are ErrOrder, ErrSum, ErrName and
// billing.ErrOverflow, wrapped.
func (t *Tally) Add(inv *Invoice) error {
	name, err := ParseInvoiceID(inv.ID)
	if err != nil {
		return err
	}
	if name.Account != inv.Account || name.Period != inv.Period.ID() || name.Currency != inv.Currency {
		return fmt.Errorf("%w: %s", ErrName, inv.ID)
	}
	if t.last != nil && t.last.Compare(name) >= 0 {
		return fmt.Errorf("%w: %s behind %s", ErrOrder, inv.ID, t.last.ID())
	}
	var total billing.Amount
	for i := range inv.Lines {
		if total, err = total.Add(inv.Lines[i].Amount); err != nil {
			return fmt.Errorf("export: invoice %s: %w", inv.ID, err)
		}
	}
	if total != inv.Total {
		return fmt.Errorf("%w: %s has a total of %s, its lines come to %s", ErrSum, inv.ID, inv.TotalText, total)
	}
	s := t.totals[inv.Currency]
	if s == nil {
		s = &sum{}
		t.totals[inv.Currency] = s
	}
	if s.amount, err = s.amount.Add(total); err != nil {
		return fmt.Errorf("export: sum of all invoices in %s: %w", inv.Currency, err)
	}
	t.last = &name
	s.digits = max(s.digits, digits(inv.TotalText))
	s.invoices++
	t.invoices++
	s.lines += uint64(len(inv.Lines))
	t.lines += uint64(len(inv.Lines))
	t.zones[Zone{Period: name.Period, Start: inv.Period.Start.Format(time.RFC3339Nano), End: inv.Period.End.Format(time.RFC3339Nano)}]++
	return nil
}

// digits counts the decimals of a number's text.
func digits(number string) int {
	_, decimals, _ := strings.Cut(number, ".")
	return len(decimals)
}

// Summary returns what was added up so far.
func (t *Tally) Summary() Summary {
	s := Summary{Invoices: t.invoices, Lines: t.lines, Totals: []Total{}, Zones: []Zoned{}}
	for _, currency := range slices.Sorted(maps.Keys(t.totals)) {
		of := t.totals[currency]
		s.Totals = append(s.Totals, Total{Currency: currency, Invoices: of.invoices, Lines: of.lines, Amount: of.amount.Fixed(of.digits)})
	}
	for zone, n := range t.zones {
		s.Zones = append(s.Zones, Zoned{Zone: zone, Invoices: n})
	}
	slices.SortFunc(s.Zones, func(a, b Zoned) int {
		return cmp.Or(strings.Compare(a.Period, b.Period), strings.Compare(a.Start, b.Start), strings.Compare(a.End, b.End))
	})
	return s
}

// Name is what an invoice's id says.
type Name struct {
	Account  billing.AccountID
	Period   string // id
	Currency billing.Currency
	Counter  int
}

// ID is the inverse of [ParseInvoiceID].
func (n Name) ID() string {
	return n.Account.Token() + "." + n.Period + "." + string(n.Currency) + "." + strconv.Itoa(n.Counter)
}

// Compare orders names as an export has them: by account, period, currency and
// counter.
func (n Name) Compare(o Name) int {
	return cmp.Or(
		cmp.Compare(n.Account, o.Account), cmp.Compare(n.Period, o.Period),
		cmp.Compare(n.Currency, o.Currency), cmp.Compare(n.Counter, o.Counter),
	)
}

// ParseInvoiceID reads what [InvoiceID] makes. Its error wraps ErrName.
func ParseInvoiceID(id string) (Name, error) {
	parts := strings.Split(id, ".")
	if len(parts) != 4 {
		return Name{}, fmt.Errorf("%w: %q", ErrName, id)
	}
	account, err := billing.ParseAccountToken(parts[0])
	counter, counterErr := strconv.Atoi(parts[3])
	n := Name{Account: account, Period: parts[1], Currency: billing.Currency(parts[2]), Counter: counter}
	if err = errors.Join(err, counterErr); err != nil || n.ID() != id {
		return Name{}, fmt.Errorf("%w: %q", ErrName, id)
	}
	return n, nil
}
