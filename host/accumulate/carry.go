package accumulate

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tollway/tollway/host/rate"
)

// Tables returns the tables of a partition's state in the order in which they are
// loaded.
func Tables() []uint8 {
	return []uint8{TablePlans, TableTerms, TableCarries, TableParked, TableReopened, TableRules, TableOverrides, TableAlerts}
}

// CarryIn returns what a slot was left by that of the period or the version before, nil for
// nothing. It is the book's of a rater: for the owner.
func (s *State) CarryIn(l *rate.Live) []byte { return s.carries[l.Number] }

// Inherit makes a slot what is given, as Put does, and keeps what it was left by
// that of the period or the version before: its CarryIn.
func (s *State) Inherit(slot *rate.Slot) error {
	if err := s.Put(slot); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts.find(slot.Account, accountHash(slot.Account))
	at, found := a.Find(slot.Terms(), slot.Group)
	if !found {
		return fmt.Errorf("accumulate: the slot of account %q that was put is not there", slot.Account)
	}
	n, carry := a.At(at).Number, bytes.Clone(slot.CarryIn)
	s.carries[n] = carry
	s.filling.carries = append(s.filling.carries, tableEntry{numberKey(n), carry})
	s.filling.carried += len(carry)
	return nil
}

// Reasons for which an account's invoices are parked. They are stable.
const (
	ParkedTariffFault   = "tariff_fault"   // a tariff's plugin failed at the end of the period
	ParkedRuleFault     = "rule_fault"     // an invoice rule's plugin failed
	ParkedOverflow      = "overflow"       // an amount is larger than an amount can be
	ParkedInvoiceFault  = "invoice_fault"  // what the tariffs left does not fit their plans
	ParkedEarlierPeriod = "earlier_period" // an earlier period, which leaves something to this one, is parked
)

// Parked is what stands in the way of an account's invoices of a closed period.
// The period is closed for it as for the others, its slots stand as they did before
// the close, and it has no invoice until the cause is mended.
type Parked struct {
	Account   string        `json:"account"`
	Calendar  rate.Calendar `json:"calendar"`
	Period    int64         `json:"period"`     // its start, unix ns
	PeriodEnd int64         `json:"period_end"` // unix ns
	Reason    string        `json:"reason"`     // a Parked constant
	Detail    string        `json:"detail"`     // for people
	Tariff    string        `json:"tariff,omitempty"`
	Rule      string        `json:"rule,omitempty"`
	Module    string        `json:"module,omitempty"` // digest of the plugin that failed
}

// parkedKey names a Parked.
type parkedKey struct {
	account string
	period  int64
}

func (p *Parked) key() parkedKey { return parkedKey{p.Account, p.Period} }

// bytes is the key in the table.
func (k parkedKey) bytes() []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(k.period)), k.account...)
}

// Park keeps what stands in the way of an account's invoices, in place of what did
// before.
func (s *State) Park(p Parked) error {
	b, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("accumulate: parked invoice of %q: %w", p.Account, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parked[p.key()] = p
	s.filling.parked = append(s.filling.parked, tableEntry{p.key().bytes(), b})
	return nil
}

// Unpark says that nothing stands in the way any more. What did not stand there
// changes nothing.
func (s *State) Unpark(account string, period int64) {
	k := parkedKey{account, period}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, parked := s.parked[k]; parked {
		delete(s.parked, k)
		s.filling.parked = append(s.filling.parked, tableEntry{k.bytes(), nil})
	}
}

// IsParked reports whether something stands in the way of an account's invoices. It is
// for the owner.
func (s *State) IsParked(account string, period int64) bool {
	_, parked := s.parked[parkedKey{account, period}]
	return parked
}

// Parked lists what stands in the way of invoices in the latest state, by period
// and account.
func (s *State) Parked() []Parked {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.parked) == 0 {
		return nil
	}
	list := make([]Parked, 0, len(s.parked))
	for _, p := range s.parked {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Parked) int {
		return cmp.Or(cmp.Compare(a.Period, b.Period), strings.Compare(a.Account, b.Account))
	})
	return list
}
