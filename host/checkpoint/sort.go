package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// sorter orders the entries of a commit by key. Its memory is used again.
type sorter struct {
	order []sortKey // the result
	spare []sortKey
}

// sortKey stands for an entry while sorting: eight bytes of its key, which
// decide most comparisons without touching the key, and where it is.
type sortKey struct {
	head uint64
	at   int
}

// radixMin is the number of entries from which counting bytes is faster than
// comparing.
const radixMin = 512

// sort fills s.order with the order of the entries' keys; equal keys keep
// theirs. There is at least one entry.
func (s *sorter) sort(entries []Entry) {
	shared := sharedPrefix(entries)
	s.order = slices.Grow(s.order[:0], len(entries))
	sorted := true
	for i := range entries {
		s.order = append(s.order, sortKey{head: headOf(entries[i].Key, shared), at: i})
		sorted = sorted && (i == 0 || bytes.Compare(entries[i-1].Key, entries[i].Key) <= 0)
	}
	if sorted {
		return
	}
	if len(s.order) < radixMin {
		sortByKey(s.order, entries)
		return
	}
	s.radix()
	for from, to := 0, 0; from < len(s.order); from = to {
		for to = from + 1; to < len(s.order) && s.order[to].head == s.order[from].head; {
			to++
		}
		if to-from > 1 {
			sortByKey(s.order[from:to], entries)
		}
	}
}

// sortByKey sorts by comparing: heads, then keys, then places.
func sortByKey(order []sortKey, entries []Entry) {
	slices.SortFunc(order, func(a, b sortKey) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		if c := bytes.Compare(entries[a.at].Key, entries[b.at].Key); c != 0 {
			return c
		}
		return cmp.Compare(a.at, b.at)
	})
}

// radix sorts s.order by head alone: one stable distribution per byte, from the
// last to the first, save for those bytes that are the same in all.
func (s *sorter) radix() {
	var counts [8][256]int
	for i := range s.order {
		head := s.order[i].head
		for b := range counts {
			counts[b][byte(head>>(8*b))]++
		}
	}
	s.spare = slices.Grow(s.spare[:0], len(s.order))[:len(s.order)]
	for b := range counts {
		places := &counts[b]
		if places[byte(s.order[0].head>>(8*b))] == len(s.order) {
			continue
		}
		next := 0
		for v, n := range places {
			places[v] = next
			next += n
		}
		for _, k := range s.order {
			v := byte(k.head >> (8 * b))
			s.spare[places[v]] = k
			places[v]++
		}
		s.order, s.spare = s.spare, s.order
	}
}

// sharedPrefix returns how many first bytes all keys share.
func sharedPrefix(entries []Entry) int {
	first := entries[0].Key
	n := len(first)
	for i := range entries {
		key := entries[i].Key
		n = min(n, len(key))
		for j := range n {
			if key[j] != first[j] {
				n = j
				break
			}
		}
		if n == 0 {
			break
		}
	}
	return n
}

// headOf returns the eight bytes of a key after the first skip, as a number
// that sorts like them; a shorter key sorts before a longer one or equal to it.
func headOf(key []byte, skip int) uint64 {
	key = key[skip:]
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var head uint64
	for i, b := range key {
		head |= uint64(b) << (56 - 8*i)
	}
	return head
}
