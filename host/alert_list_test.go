package host

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// However many alerts come at a time, the list has them in their order.
func TestAlertListIsInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := newAlertList(1)
		entry := rapid.Custom(func(t *rapid.T) alertEntry {
			return alertEntry{alertKey: alertKey{rapid.Int64Range(0, 9).Draw(t, "at"), rapid.IntRange(0, 3).Draw(t, "partition"), rapid.Uint64Range(1, 9).Draw(t, "number")}}
		})
		n := 0
		for _, added := range rapid.SliceOf(rapid.SliceOfN(entry, 0, 3*alertsInserted)).Draw(t, "added") {
			n += len(added)
			list.add(added)
		}
		if len(list.entries) != n || !slices.IsSortedFunc(list.entries, func(a, b alertEntry) int { return a.compare(b.alertKey) }) {
			t.Fatalf("%d of %d entries: %v", len(list.entries), n, list.entries)
		}
	})
}
