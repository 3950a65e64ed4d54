package host

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is added to the index, it is in order, and all is there.
func TestMergeEntries(t *testing.T) {
	entry := rapid.Custom(func(t *rapid.T) invoiceEntry {
		return invoiceEntry{invoiceKey: invoiceKey{
			Period:   rapid.SampledFrom([]string{"2026-01-01", "2026-02-01"}).Draw(t, "period"),
			Account:  strconv.Itoa(rapid.IntRange(0, 30).Draw(t, "account")),
			Currency: "EUR", ID: strconv.Itoa(rapid.IntRange(0, 12).Draw(t, "id")),
		}}
	})
	byKey := func(a, b invoiceEntry) int { return a.compare(b.invoiceKey) }
	rapid.Check(t, func(t *rapid.T) {
		known, added := rapid.SliceOf(entry).Draw(t, "known"), rapid.SliceOf(entry).Draw(t, "added")
		slices.SortFunc(known, byKey)
		all := append(slices.Clone(known), added...)
		want := slices.SortedStableFunc(slices.Values(all), byKey)
		if got := mergeEntries(all, len(known)); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}
