package host

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// overtakenMax is how many accounts a warning about usage names.
const overtakenMax = 5

// overtaken looks, after a catalog's markers were read, for usage that they came
// too late for: of a time from which on the change prices differently, but read
// before the marker, and so priced by the catalog before. It is priced once and
// stays as it is; that some came in between is for the operator to know.
func (h *Host) overtaken(next *catalog.Catalog, changes []catalog.Change) []string {
	var concerned []catalog.Change
	for _, c := range changes {
		if c.Prices {
			concerned = append(concerned, c)
		}
	}
	if len(concerned) == 0 {
		return nil
	}
	var accounts []string
	var latest int64
	look := func(s *rate.Slot) {
		if s.Events == 0 || s.Final || pricedBy(next, s) {
			return
		}
		if !slices.ContainsFunc(concerned, func(c catalog.Change) bool {
			return s.LastTime >= reachesBack(c) && c.ConcernsUsage(billing.AccountID(s.Account), s.Plan.Meter, s.Tariff, s.Subscription)
		}) {
			return
		}
		latest = max(latest, s.LastTime)
		if !slices.Contains(accounts, s.Account) {
			accounts = append(accounts, s.Account)
		}
	}
	for _, p := range h.partitions {
		if slices.ContainsFunc(concerned, func(c catalog.Change) bool { return c.Account == "" }) {
			p.state.EachSlot(look)
			continue
		}
		for _, c := range concerned {
			if billing.Partition(c.Account, h.config.Partitions) == p.number {
				slots, _ := p.state.Slots(string(c.Account), accumulate.Committed)
				for _, s := range slots {
					look(s)
				}
			}
		}
	}
	if len(accounts) == 0 {
		return nil
	}
	slices.Sort(accounts)
	more := ""
	if n := len(accounts); n > overtakenMax {
		accounts, more = accounts[:overtakenMax], fmt.Sprintf(" and %d more", n-overtakenMax)
	}
	return []string{fmt.Sprintf("usage up to %s went ahead of the change and is priced by the catalog before, of accounts %s%s: "+
		"the next time let the change take effect later than the usage that arrives meanwhile",
		time.Unix(0, latest).UTC().Format(time.RFC3339), strings.Join(accounts, ", "), more)}
}

// pricedBy reports whether a slot is the one that a catalog prices the slot's
// latest usage in.
func pricedBy(c *catalog.Catalog, s *rate.Slot) bool {
	bindings := c.BindingsOf(billing.AccountID(s.Account))
	for i := range bindings {
		b := &bindings[i]
		if b.Tariff.Name != s.Tariff || b.Subscription.ID != s.Subscription || !b.ActiveAt(s.LastTime) {
			continue
		}
		n := b.Tariff.VersionAt(s.LastTime)
		if n < 0 {
			return false
		}
		v := b.Tariff.Versions[n]
		return s.Version == b.Version(n) && v.Module == s.Plan.Module && v.Name == s.Plan.Name &&
			bytes.Equal(catalog.EffectiveParams(v, b.Subscription), []byte(s.Plan.Params))
	}
	return false
}
