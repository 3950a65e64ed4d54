package host

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// dropped tells of versions of tariffs that are new in a catalog and do not take over
// what accounts carry by the version before, from one period into the next or within one,
// a sentence each: nobody may find that out by the invoices.
func (r *resolver) dropped(current, next *catalog.Catalog) ([]string, error) {
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(next.Tariffs)) {
		t, old := next.Tariffs[name], current.Tariffs[name]
		for i := 1; i < len(t.Versions); i++ {
			version := t.Versions[i]
			if old != nil && slices.ContainsFunc(old.Versions, func(o *catalog.TariffVersion) bool { return o.EffectiveFrom.Equal(version.EffectiveFrom) }) {
				continue
			}
			why, err := r.drops(t.Versions[i-1], version, t.Currency)
			if err != nil {
				return nil, err
			}
			if why != "" {
				warnings = append(warnings, fmt.Sprintf("tariff %s: the version of %s takes %s", name, version.EffectiveFrom.Format(time.RFC3339), why))
			}
		}
	}
	return warnings, nil
}

// drops says why a version of a tariff does not take over what accounts carry by the one
// before it; nothing where it does. How large that is the plugins say, and whether it is
// taken they are asked, by what an account without usage leaves: that differs too where
// the version carries something else.
func (r *resolver) drops(before, version *catalog.TariffVersion, currency billing.Currency) (why string, err error) {
	was, err := r.check(before.Module, before.Name, before.Params, currency)
	if err != nil || was.carrySize == 0 {
		return "", err
	}
	const nothing = "nothing over of what accounts carry from one period into the next, such as levels: "
	if before.Name != version.Name {
		return fmt.Sprintf(nothing+"it is priced by %s, and was by %s", version.Name, before.Name), nil
	}
	is, err := r.check(version.Module, version.Name, version.Params, currency)
	if err != nil {
		return "", err
	}
	if is.carrySize == 0 {
		return nothing + "it carries nothing itself", nil
	}
	var fault *plugins.FaultError
	at := version.EffectiveFrom
	carry, err := r.leaves(before, currency, at.AddDate(0, -1, 0), nil)
	switch {
	case errors.As(err, &fault):
		return "", nil // it cannot be asked like that
	case err != nil:
		return "", err
	}
	sizes := fmt.Sprintf(nothing+"it carries %d bytes, and is left %d", is.carrySize, len(carry))
	if len(carry) > is.carrySize {
		return sizes, nil // it need not be asked
	}
	switch _, err = r.leaves(version, currency, at, carry); {
	case errors.As(err, &fault) && len(carry) == is.carrySize:
		return nothing + fault.Text, nil
	case errors.As(err, &fault):
		return sizes, nil
	}
	if err == nil && is.carrySize < was.carrySize {
		why = fmt.Sprintf("over at most %d bytes of what an account carries from one period into the next, and before it that may be %d: an account that carries more begins without it", is.carrySize, was.carrySize)
	}
	return why, err
}

// leaves returns what a version of a tariff carries on for an account without usage behind
// a month, which began with a carry.
func (r *resolver) leaves(v *catalog.TariffVersion, currency billing.Currency, month time.Time, carry []byte) ([]byte, error) {
	instance, err := r.instance(v.Module)
	if err != nil {
		return nil, err
	}
	plans, err := instance.Configure(r.ctx, []plugins.ConfigRequest{{Tariff: v.Name, Params: v.Params, Currency: string(currency)}})
	if err != nil {
		return nil, err
	}
	start, end := month.UnixNano(), month.AddDate(0, 1, 0).UnixNano()
	b := plugins.Batch{Values: []string{""}, Slots: []plugins.Slot{{
		Plan: plans[0], PeriodStart: start, PeriodEnd: end, ActiveFrom: start, ActiveUntil: end, New: true, Final: true, CarryIn: carry,
	}}}
	if _, err := instance.Price(r.ctx, &b); err != nil {
		return nil, err
	}
	b.Slots[0].Keep()
	return b.Slots[0].CarryOut, nil
}
