package host

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tollway/tollway/host/catalog"
)

// dropped tells of versions of tariffs that are new in a catalog and do not take over
// what accounts carry by the version before, from one period into the next or within one,
// a sentence each: nobody may find that out by the invoices.
func (r *resolver) dropped(current, next *catalog.Catalog) ([]string, error) {
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(next.Tariffs)) {
		t, old := next.Tariffs[name], current.Tariffs[name]
		for i := 1; i < len(t.Versions); i++ {
			before, version := t.Versions[i-1], t.Versions[i]
			if old != nil && slices.ContainsFunc(old.Versions, func(o *catalog.TariffVersion) bool { return o.EffectiveFrom.Equal(version.EffectiveFrom) }) {
				continue
			}
			answer, err := r.check(before.Module, before.Name, before.Params, t.Currency)
			if err != nil {
				return nil, err
			}
			if !answer.carries {
				continue
			}
			const what = "tariff %s: the version of %s takes nothing over of what accounts carry from one period into the next, such as levels: "
			at := version.EffectiveFrom.Format(time.RFC3339)
			if before.Name != version.Name {
				warnings = append(warnings, fmt.Sprintf(what+"it is priced by %s, and was by %s", name, at, version.Name, before.Name))
				continue
			}
			if answer, err = r.check(version.Module, version.Name, version.Params, t.Currency); err != nil {
				return nil, err
			}
			if !answer.carries {
				warnings = append(warnings, fmt.Sprintf(what+"it carries nothing itself", name, at))
			}
		}
	}
	return warnings, nil
}
