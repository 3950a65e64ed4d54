package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// A version of a tariff may take effect within a period, and so may params that override
// those of one account. The subscription then has slots of several versions in the period,
// and what one of them leaves is what that of the same group in the version behind it begins
// with, as it would be from one period to the next. Only the last one leaves something to the
// next period.
//
// It is handed on when the period is billed, at a close, for a preview or once more: only then
// is it known that the part of the period before the change is complete. As at the start of a
// period, usage that was folded without it is folded again.

// handing hands on what versions leave to those behind them in one period.
type handing struct {
	*partition
	calendar rate.Calendar
	period   billing.Period
	position uint64 // of the message that decides
	// again has a bill's slots be those that are in the state now.
	again func(*bill) error
}

// succession is a bill with slots of several versions of a subscription.
type succession struct {
	*bill
	reached int64        // up to which time what versions leave has been handed on, unix ns
	next    []*rate.Slot // for each slot of the bill, see behind
	leavers []int        // those of the slots that leave something at the time that was reached
}

// behind returns, for each of an account's slots, sorted by key, one of the version that
// follows its own in the period; nil for those of the last version of their subscription.
func behind(slots []*rate.Slot) []*rate.Slot {
	next := make([]*rate.Slot, len(slots))
	for i := len(slots) - 2; i >= 0; i-- {
		s, o := slots[i], slots[i+1]
		switch {
		case !sameSubscription(s, o):
		case s.Version == o.Version:
			next[i] = next[i+1]
		default:
			next[i] = o
		}
	}
	return next
}

// sameSubscription reports whether two slots are of the same subscription.
func sameSubscription(s, o *rate.Slot) bool {
	return s.Tariff == o.Tariff && s.Subscription == o.Subscription
}

// handOn has the slots of bills begin with what the version before theirs leaves. Accounts in
// whose period no version begins cost nothing but a look at their slots.
//
// The changes of an account are gone through in the order of time. What is folded again for
// one may refuse usage from behind it, which then is priced by none of the account's tariffs:
// it can alter what is left at a later change, but at none that was gone through.
func (h handing) handOn(ctx context.Context, bills []*bill) error {
	var rest []*succession
	for _, l := range bills {
		for i := 1; i < len(l.slots); i++ {
			if s, o := l.slots[i-1], l.slots[i]; s.Version != o.Version && sameSubscription(s, o) {
				rest = append(rest, &succession{bill: l, reached: math.MinInt64})
				break
			}
		}
	}
	for len(rest) > 0 {
		var err error
		if rest, err = h.nextChange(ctx, rest); err != nil {
			return fmt.Errorf("what a version of a tariff leaves to the one behind it: %w", err)
		}
	}
	return nil
}

// nextChange hands on what is left at the first change of each account that was not gone
// through, and returns the accounts that may have more.
func (h handing) nextChange(ctx context.Context, all []*succession) (rest []*succession, err error) {
	var leavers []*rate.Slot
	for _, l := range all {
		if !l.turn() {
			continue
		}
		if err := h.findLeavers(ctx, l); err != nil {
			return nil, err
		}
		rest = append(rest, l)
		for _, i := range l.leavers {
			leavers = append(leavers, l.slots[i])
		}
	}
	finished, faults, err := h.rater.Finish(ctx, leavers)
	if err != nil {
		return nil, err
	}
	var heirs []*rate.Slot
	rest = slices.DeleteFunc(rest, func(l *succession) bool {
		n := len(l.leavers)
		left, failed := finished[:n], slices.ContainsFunc(faults[:n], func(f *rate.Fault) bool { return f != nil })
		finished, faults = finished[n:], faults[n:]
		if !failed {
			heirs = append(heirs, l.heirs(left)...)
		}
		return failed // it is parked when the same is finished for its bill
	})
	return rest, h.give(ctx, rest, heirs)
}

// turn goes on to the first change behind the time that was reached, and reports whether there
// is one.
func (l *succession) turn() bool {
	l.next = behind(l.slots)
	next := rate.Forever
	for _, o := range l.next {
		if o != nil && o.ActiveFrom > l.reached {
			next = min(next, o.ActiveFrom)
		}
	}
	l.reached = next
	return next != rate.Forever
}

// findLeavers finds the slots of an account that leave something at the time that was reached:
// the subscription goes on there, and is priced by the same tariff of a plugin, which carries.
func (h handing) findLeavers(ctx context.Context, l *succession) error {
	l.leavers = l.leavers[:0]
	for i, s := range l.slots {
		next := l.next[i]
		if next == nil || next.ActiveFrom != l.reached || s.ActiveUntil < next.ActiveFrom {
			continue
		}
		if err := errors.Join(h.rater.Settle(ctx, s.Plan), h.rater.Settle(ctx, next.Plan)); err != nil {
			return err
		}
		if s.Plan.Carries && next.Plan.Follows(s.Plan) {
			l.leavers = append(l.leavers, i)
		}
	}
	return nil
}

// heirs returns the slots that are to begin with something else than they have: those of the
// groups that the finished leavers leave something to, and those that had something and have
// nothing any more.
func (l *succession) heirs(finished []*rate.Slot) (list []*rate.Slot) {
	left := map[rate.Key]bool{}
	for n, i := range l.leavers {
		heir := rate.NewSlot(string(l.account), l.next[i].Terms(), l.slots[i].Group, rate.Content{})
		heir.CarryIn = finished[n].CarryOut
		left[heir.Key] = true
		list = append(list, heir)
	}
	begun := map[rate.Key]bool{}
	for _, o := range l.next {
		if o != nil && o.ActiveFrom == l.reached {
			begun[o.WithoutGroup()] = true
		}
	}
	had := map[rate.Key][]byte{}
	for _, s := range l.slots {
		if !begun[s.WithoutGroup()] || len(s.CarryIn) == 0 {
			continue
		}
		if had[s.Key] = s.CarryIn; !left[s.Key] {
			list = append(list, rate.NewSlot(s.Account, s.Terms(), s.Group, rate.Content{}))
		}
	}
	return slices.DeleteFunc(list, func(s *rate.Slot) bool { return bytes.Equal(had[s.Key], s.CarryIn) })
}

// give has heirs begin with what they are left, and the accounts' bills have the slots that
// come of it. A tariff that does not take it begins with nothing.
func (h handing) give(ctx context.Context, accounts []*succession, heirs []*rate.Slot) error {
	if len(heirs) == 0 {
		return nil
	}
	takers, err := h.takers(ctx, heirs)
	if err != nil {
		return err
	}
	take := map[rate.Key]bool{}
	for _, s := range takers {
		take[s.Key] = true
	}
	again, changed := map[string]bool{}, map[string]bool{}
	var given []*rate.Slot
	for _, s := range heirs {
		live := h.live(s)
		if !take[s.Key] {
			if s.CarryIn = nil; live == nil || len(h.state.CarryIn(live)) == 0 {
				continue
			}
		}
		given, changed[s.Account] = append(given, s), true
		if live != nil && live.Events > 0 {
			again[s.Account] = true
		}
	}
	if err := h.foldAgain(ctx, again, h.calendar, h.period, given, h.position, nil); err != nil {
		return err
	}
	for _, l := range accounts {
		if changed[string(l.account)] {
			if err := h.again(l.bill); err != nil {
				return err
			}
		}
	}
	return nil
}

// goOn divides an account's finished slots, sorted by key, into those that leave to the next
// period and those that another version has followed within theirs.
func goOn(finished []*rate.Slot) (last, followed []*rate.Slot) {
	for i, next := range behind(finished) {
		if next == nil {
			last = append(last, finished[i])
		} else {
			followed = append(followed, finished[i])
		}
	}
	return last, followed
}
