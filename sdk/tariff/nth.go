package tariff

import "github.com/tollway/tollway/sdk/billing"

// Nth returns the value that would stand at place n, from 0, if the values were sorted. It changes their order, and
// what it costs grows with their number, not faster: so a percentile of thousands of values fits into the fuel of a
// finish. n must be one of their places.
//
// It is a selection by partition (Hoare, "Algorithm 65: Find"). Whoever sends usage chooses the order of the values,
// so a pivot from a fixed place could be made to be the worst each time. The pivot comes from places that all values
// together decide instead, and near the rank that is sought (Floyd and Rivest, "Expected Time Bounds for Selection",
// 1975).
func Nth(values []billing.Decimal, n int) billing.Decimal {
	if n < 0 || n >= len(values) {
		panic("tariff: Nth of a place that is not there")
	}
	seed := mix(values)
	for len(values) > nthSample {
		var sample [nthSample]billing.Decimal
		for i := range sample {
			seed ^= seed << 13 // Marsaglia, "Xorshift RNGs", 2003
			seed ^= seed >> 7
			seed ^= seed << 17
			sample[i] = values[seed%uint64(len(values))]
		}
		insertionSort(sample[:])
		pivot := sample[n*nthSample/len(values)]
		below := partition(values, pivot, 0)
		if n < below {
			values = values[:below]
			continue
		}
		values, n = values[below:], n-below
		same := partition(values, pivot, 1)
		if n < same {
			return pivot
		}
		values, n = values[same:], n-same
	}
	insertionSort(values)
	return values[n]
}

// nthSample is how many values a pivot is chosen from.
const nthSample = 15

// The loops below are functions of their own, without calls: in WebAssembly Go keeps the variables of such a one out
// of the memory, and fuel counts what goes through memory above all.

// mix makes a number of all values, not 0.
//
//go:noinline
func mix(values []billing.Decimal) uint64 {
	seed := uint64(0x9e3779b97f4a7c15)
	for i := range values {
		seed = (seed ^ values[i].Lo) * 0xbf58476d1ce4e5b9
		seed ^= seed >> 31
	}
	return seed | 1
}

// partition puts the values that are below the pivot in front of the others, with orEqual 1 those that are equal to it
// too, and returns how many they are. It has no branch but that of the loop.
//
//go:noinline
func partition(values []billing.Decimal, pivot billing.Decimal, orEqual uint64) int {
	store := 0
	for i := range values {
		v := values[i]
		// Numbers of 128 bits are compared by subtraction: the borrow of the low words, and then the sign.
		borrow := (^v.Lo&pivot.Lo | (^v.Lo|pivot.Lo)&(v.Lo-pivot.Lo)) >> 63
		diff := uint64(v.Hi) - uint64(pivot.Hi) - borrow
		// The sign of a difference is wrong where it overflowed.
		overflow := (uint64(v.Hi) ^ uint64(pivot.Hi)) & (uint64(v.Hi) ^ diff)
		rest := diff | (v.Lo - pivot.Lo)
		equal := 1 &^ ((rest | -rest) >> 63)
		values[i] = values[store]
		values[store] = v
		store += int((diff^overflow)>>63 | equal&orEqual)
	}
	return store
}

// insertionSort sorts a few values.
//
//go:noinline
func insertionSort(values []billing.Decimal) {
	for i := 1; i < len(values); i++ {
		v, k := values[i], i
		for ; k > 0 && (v.Hi < values[k-1].Hi || v.Hi == values[k-1].Hi && v.Lo < values[k-1].Lo); k-- {
			values[k] = values[k-1]
		}
		values[k] = v
	}
}
