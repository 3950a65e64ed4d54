package main

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
)

// orders are the orders of n values that selections fear.
func orders(n int) map[string][]int64 {
	order := func(f func(i int) int) []int64 {
		values := make([]int64, n)
		for i := range values {
			values[i] = int64(f(i))
		}
		return values
	}
	return map[string][]int64{
		"sorted":     order(func(i int) int { return i }),
		"reversed":   order(func(i int) int { return n - i }),
		"equal":      order(func(int) int { return 7 }),
		"two values": order(func(i int) int { return i % 2 }),
		"organ pipe": order(func(i int) int { return min(i, n-i) }),
		"saw":        order(func(i int) int { return i % 64 }),
		// The median of the first, the middle and the last is always the second smallest (Musser 1997).
		"killer": order(func(i int) int {
			half := n / 2
			switch {
			case i >= half:
				return 2 * (i - half + 1)
			case i%2 == 0:
				return i + 1
			}
			return half + i
		}),
		// Made against this very selection, see adversary.
		"adversary": adversary(n),
	}
}

// adversary makes an order for which the selection of the first value looks at every value in nearly each pass: it
// runs the passes and decides the values as they are asked for, those of a pivot as the largest that are left
// (McIlroy, "A Killer Adversary for Quicksort", 1999).
func adversary(n int) []int64 {
	place := make([]int, n) // what stands where
	for i := range place {
		place[i] = i
	}
	values, next := make([]int64, n), int64(n)
	for right := n - 1; right > 1; right -= 2 {
		// Two of the three that the pivot is the median of become the largest: only they end above.
		middle := right / 2
		values[place[right]] = next
		values[place[middle]] = next - 1
		next -= 2
		place[middle], place[right-1] = place[right-1], place[middle]
	}
	for i := range values {
		if values[i] == 0 {
			values[i] = 1
		}
	}
	return values
}

func decimals(values []int64) []billing.Decimal {
	list := make([]billing.Decimal, len(values))
	for i, v := range values {
		list[i] = billing.DecimalFromInt(v)
	}
	return list
}

// TestSelection finds values of all places in orders that others cannot stand, and holds how many it looks at.
func TestSelection(t *testing.T) {
	const month = 31 * 24 * 12
	for name, values := range orders(month) {
		sorted := slices.Clone(values)
		slices.Sort(sorted)
		for _, n := range []int{0, 1, month / 2, month * 95 / 100, month - 1} {
			s := selection{values: decimals(values)}
			if got, want := s.nth(n), billing.DecimalFromInt(sorted[n]); got != want {
				t.Errorf("%s: place %d is %s, want %s", name, n, got, want)
			}
			if s.looked > (looksMax+1)*month {
				t.Errorf("%s: it looked at %d of %d values", name, s.looked, month)
			}
		}
	}
}

func TestSelectionIsSorting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(-20, 20), 1, 60).Draw(t, "values")
		sorted := slices.Clone(values)
		slices.Sort(sorted)
		n := rapid.IntRange(0, len(values)-1).Draw(t, "place")
		if got, want := nth(decimals(values), n), billing.DecimalFromInt(sorted[n]); got != want {
			t.Fatalf("place %d of %d is %s, want %s", n, values, got, want)
		}
		list := decimals(values)
		heapSort(list)
		if !slices.Equal(list, decimals(sorted)) {
			t.Fatalf("sorted: %v", list)
		}
	})
}
