package telco

import (
	"math/bits"
	"math/rand/v2"
)

// chance is a stream of random numbers. Its numbers are those of PCG, which the standard library keeps the same for ever;
// what is made of them is made here, so that a seed means the same world with every release of Go.
type chance struct{ rand.PCG }

// Purposes keep the streams of one seed apart.
const (
	forTimes uint64 = iota + 1
	forOrder
	forAmounts
	forEvents
)

// chanceOf returns the stream that a purpose and a number have in the world of a seed.
func chanceOf(seed, purpose, number uint64) (c chance) {
	c.Seed(seed^purpose<<56, number)
	return c
}

// below returns a number from 0 to n-1.
func (c *chance) below(n uint64) uint64 {
	hi, _ := bits.Mul64(c.Uint64(), n)
	return hi
}

// heads returns how many of n coins fall heads.
func (c *chance) heads(n int64) (sum int64) {
	for ; n >= 64; n -= 64 {
		sum += int64(bits.OnesCount64(c.Uint64()))
	}
	return sum + int64(bits.OnesCount64(c.Uint64()&(1<<n-1)))
}

// shuffle is a random order of the numbers 0 to n-1 that is computed number by number: a Feistel network, whose results
// beyond n go through it again.
type shuffle struct {
	n      uint64
	half   int // bits of half a number
	seed   uint64
	number uint64 // of the shuffle, apart from others of the same seed
}

// newShuffle returns a shuffle of up to 2^32 numbers.
func newShuffle(n, seed, number uint64) shuffle {
	return shuffle{n: n, half: (bits.Len64(n-1) + 1) / 2, seed: seed, number: number}
}

// at returns what stands at place i of the order.
func (s shuffle) at(i uint64) uint64 {
	mask := uint64(1)<<s.half - 1
	for {
		left, right := i>>s.half, i&mask
		for round := range uint64(4) {
			c := chanceOf(s.seed, forOrder, round<<60|s.number<<32|right)
			left, right = right, left^c.Uint64()&mask
		}
		if i = left<<s.half | right; i < s.n {
			return i
		}
	}
}

// share returns part k of a sum that is divided at random into n parts, each at least 1 if the sum is enough. It halves
// the parts and divides the sum among the halves until one part is left, so that any part is found in a few steps and all
// of them add up. The sum must be less than 2^23 and n less than 2^24.
func share(sum, k, n, seed, number uint64) uint64 {
	least := uint64(0)
	if sum >= n {
		least, sum = 1, sum-n
	}
	for node := uint64(1); n > 1; {
		c := chanceOf(seed, forAmounts, number<<24|node)
		draw := c.Uint64()
		left := n / 2
		// Two draws of 16 bits for each side keep most parts near the middle and some far from it.
		weight := (draw&0xffff + draw>>16&0xffff + 1) * left
		whole := weight + (draw>>32&0xffff+draw>>48+1)*(n-left)
		part := sum * weight / whole
		if k < left {
			node, n, sum = 2*node, left, part
		} else {
			node, n, sum, k = 2*node+1, n-left, sum-part, k-left
		}
	}
	return sum + least
}

// moments yields n places out of 2^32 in rising order, as if each had been drawn alone and all had been sorted. It halves
// the range and throws a coin for each place until one is left, so it needs no more memory than 32 halves.
type moments struct {
	chance
	halves []half
}

// half is a range of places, a power of two wide, in which n have to be drawn.
type half struct {
	from, width uint64
	n           int64
}

func newMoments(n int64, c chance) *moments {
	return &moments{chance: c, halves: []half{{width: 1 << 32, n: n}}}
}

// next returns the next place. It must not be called more than n times.
func (m *moments) next() uint64 {
	for {
		last := len(m.halves) - 1
		h := m.halves[last]
		m.halves = m.halves[:last]
		switch {
		case h.n == 0:
		case h.n == 1:
			return h.from + m.below(h.width)
		case h.width == 1:
			m.halves = append(m.halves, half{h.from, 1, h.n - 1})
			return h.from
		default:
			width, left := h.width/2, m.heads(h.n)
			m.halves = append(m.halves, half{h.from + width, width, h.n - left}, half{h.from, width, left})
		}
	}
}
