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

// Why a closed period was folded again. They are stable: invoices carry them.
const (
	CauseLate  = "late"  // the event came after its period was closed
	CauseVoid  = "void"  // the event was voided; the position is that of the void
	CauseAmend = "amend" // the event was amended; the position is that of the amendment
	// CauseReprice is a catalog that reached back: the source is CauseCatalog, the id its
	// revision, the position that of its marker.
	CauseReprice = "reprice"
	CauseCatalog = "catalog"
)

// causesMax is how many events a period that was reopened lists; the others are
// counted.
const causesMax = 100

// Cause is an event that changed what a closed period comes to.
type Cause struct {
	Kind     string `json:"kind"` // a Cause constant
	Source   string `json:"source"`
	ID       string `json:"id"`
	Position uint64 `json:"position"` // stream sequence of the message that carried it
	Index    int    `json:"index"`    // of the event in that message, from 0
}

// InvoiceRef names an invoice as the index of invoices does.
type InvoiceRef struct {
	Period   string `json:"period"` // id
	Currency string `json:"currency"`
	ID       string `json:"id"`
}

// Reopened is what is known of an account's closed period beside its slots, once
// something changed it. While it is Open its slots are not final: they take what
// comes late, and the account's next invoice adjusts what was billed.
type Reopened struct {
	Account   string        `json:"account"`
	Calendar  rate.Calendar `json:"calendar"`
	Period    int64         `json:"period"`     // its start, unix ns
	PeriodEnd int64         `json:"period_end"` // unix ns
	Open      bool          `json:"open"`
	// Whole says that the close had found nothing of the account: what is due in the
	// period is made up as a close does it.
	Whole  bool    `json:"whole,omitempty"`
	Causes []Cause `json:"causes,omitempty"` // since the last adjustment, the first of them
	More   uint64  `json:"more,omitempty"`   // beyond
	// Gone are subscriptions and versions that a catalog which reached back took out of
	// the period: their slots are not due any more.
	Gone []Due `json:"gone,omitempty"`
	// Invoices are those that have adjusted the period.
	Invoices []InvoiceRef `json:"invoices,omitempty"`
	// Rules names the catalog whose invoice rules made the invoice, where that is
	// not the one in force at the close.
	Rules *RulesRef `json:"rules,omitempty"`
	// Waits says why the last close could not adjust the period, or why the account got no
	// invoice then that tells of what had waited; nil when none has tried.
	Waits *Parked `json:"waits,omitempty"`
}

// Due names what is due in a period: a subscription under a version of its tariff.
type Due struct {
	Tariff       string `json:"tariff"`
	Subscription string `json:"subscription"`
	Version      int64  `json:"version"` // unix ns
}

// Compare orders by tariff, subscription and version.
func (d Due) Compare(o Due) int {
	return cmp.Or(strings.Compare(d.Tariff, o.Tariff), strings.Compare(d.Subscription, o.Subscription), cmp.Compare(d.Version, o.Version))
}

// RulesRef names a catalog.
type RulesRef struct {
	Revision uint64 `json:"revision"`
	Digest   string `json:"digest"`
}

func (r *Reopened) key() parkedKey { return parkedKey{r.Account, r.Period} }

// Add notes an event.
func (r *Reopened) Add(c Cause) {
	if len(r.Causes) == causesMax {
		r.More++
		return
	}
	r.Causes = append(slices.Clip(r.Causes), c)
}

// Take notes the events of another period, which changed this one through what it
// left.
func (r *Reopened) Take(o Reopened) {
	for _, c := range o.Causes {
		if !slices.Contains(r.Causes, c) {
			r.Add(c)
		}
	}
	r.More += o.More
}

// SetReopened keeps what is known of a closed period, in place of what was.
func (s *State) SetReopened(r Reopened) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("accumulate: reopened period of %q: %w", r.Account, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reopened[r.key()] = r
	s.filling.others = append(s.filling.others, otherEntry{TableReopened, tableEntry{r.key().bytes(), b}})
	return nil
}

// DropReopened forgets what is known of the closed periods that ended before a
// time, unix ns: nothing changes them any more.
func (s *State) DropReopened(before int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, r := range s.reopened {
		if r.PeriodEnd < before && !r.Open {
			delete(s.reopened, k)
			s.filling.others = append(s.filling.others, otherEntry{TableReopened, tableEntry{k.bytes(), nil}})
		}
	}
}

// ReopenedOf returns what is known of an account's closed period.
func (s *State) ReopenedOf(account string, start int64) (Reopened, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.reopened[parkedKey{account, start}]
	return r, ok
}

// Reopened reports whether a closed period of an account takes events: what changed
// it is not on an invoice yet, or it has no invoice since it is parked. It is the
// book's of a rater: for the owner.
func (s *State) Reopened(account string, _ rate.Calendar, start int64) bool {
	k := parkedKey{account, start}
	if _, parked := s.parked[k]; parked {
		return true
	}
	return s.reopened[k].Open
}

// OpenAgain lists the closed periods that are open again, by period and account:
// of one account, or of all with "".
func (s *State) OpenAgain(account string) []Reopened {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []Reopened
	for _, r := range s.reopened {
		if r.Open && (account == "" || r.Account == account) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b Reopened) int {
		return cmp.Or(cmp.Compare(a.Period, b.Period), strings.Compare(a.Account, b.Account))
	})
	return list
}

// closedKey names a closed period of a calendar in its table.
func closedKey(k PeriodKey) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(k.Start))
	b = binary.BigEndian.AppendUint32(b, uint32(k.AnchorDay))
	return append(b, k.Zone...)
}

// closedBy is an entry of the table of closed periods.
type closedBy struct {
	PeriodKey
	RulesRef
}

// SetRules keeps which catalog's invoice rules a period was closed with.
func (s *State) SetRules(k PeriodKey, rules RulesRef) error {
	b, err := json.Marshal(closedBy{k, rules})
	if err != nil {
		return fmt.Errorf("accumulate: rules of a closed period: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules[k] = rules
	s.filling.others = append(s.filling.others, otherEntry{TableRules, tableEntry{closedKey(k), b}})
	return nil
}

// DropRules forgets the rules of periods that began before a time, unix ns.
func (s *State) DropRules(before int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.rules {
		if k.Start < before {
			delete(s.rules, k)
			s.filling.others = append(s.filling.others, otherEntry{TableRules, tableEntry{closedKey(k), nil}})
		}
	}
}

// RulesOf returns which catalog's invoice rules a period was closed with.
func (s *State) RulesOf(k PeriodKey) (RulesRef, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.rules[k]
	return r, ok
}

// ClosedPeriods lists the starts of a calendar's closed periods of which it is known by
// which catalog they were closed, unix ns, in order. It is for the owner.
func (s *State) ClosedPeriods(c rate.Calendar) []int64 {
	var list []int64
	for k := range s.rules {
		if k.Calendar == c {
			list = append(list, k.Start)
		}
	}
	slices.Sort(list)
	return list
}

// Uncommitted returns the entries of a log that the state has and a durable
// checkpoint may not have yet, in order.
func (s *State) Uncommitted(log uint8) [][]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list [][]byte
	for _, g := range []*Generation{s.flying, s.filling} {
		if g != nil {
			list = append(list, g.Appends(log)...)
		}
	}
	return list
}

// AddBlock keeps an entry of the index of positions.
func (s *State) AddBlock(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filling.index = append(s.filling.index, b)
}

// loadOther takes an entry of the tables of what was corrected.
func (l *Loader) loadOther(table uint8, key, value []byte) error {
	switch table {
	case TableReopened:
		var r Reopened
		if err := json.Unmarshal(value, &r); err != nil {
			return fmt.Errorf("%w: reopened period: %w", errRecord, err)
		}
		l.state.reopened[r.key()] = r
	case TableRules:
		var c closedBy
		if err := json.Unmarshal(value, &c); err != nil {
			return fmt.Errorf("%w: rules of a closed period: %w", errRecord, err)
		}
		l.state.rules[c.PeriodKey] = c.RulesRef
	case TableOverrides:
		return l.loadOverride(key, value)
	case TableAlerts:
		return l.loadAlerted(value)
	default:
		return fmt.Errorf("%w: table %d", errRecord, table)
	}
	return nil
}
