package chaos

import "math/rand/v2"

// drawn returns a number that the seed and two others decide, and nothing else: what
// is true of the 1,000th event does not depend on who asks, or in which order.
// The mixing is that of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom
// number generators, OOPSLA 2014).
func drawn(seed, n, purpose uint64) uint64 {
	x := seed ^ purpose*0x9e3779b97f4a7c15
	for _, v := range [...]uint64{n, purpose} {
		x += v*0x9e3779b97f4a7c15 + 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return x
}

// chance returns a source of choices for one purpose of a run.
func chance(seed, purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, purpose)) }

// Purposes of drawn numbers.
const (
	forAccount uint64 = iota + 1
	forTime
	forQuantity
	forRegion
	forDelivery
	forFeeder
	forFaults
	forProxy
	forTour
)
