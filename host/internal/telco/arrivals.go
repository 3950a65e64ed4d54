package telco

import (
	"iter"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// Arrival is a usage event and when it arrives, which is its own time or later.
type Arrival struct {
	At    time.Time
	Event billing.UsageEvent
}

// Arrivals yields all events of the world in the order in which they arrive. The Config must be valid. Iterating again, or
// in several goroutines, gives the same again.
func (c Config) Arrivals() iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) {
		var way underway
		sequence := int64(0)
		for o := range c.occurrences() {
			delay := o.delay(c, sequence)
			if delay > 0 {
				way.push(travelling{at: o.at.Add(delay), sequence: sequence, occurrence: o})
			}
			sequence++
			// Whatever is still to come arrives later, for nothing arrives before it happens.
			for len(way) > 0 && !way[0].at.After(o.at) {
				if !yield(way.arrive(c)) {
					return
				}
			}
			if delay == 0 && !yield(Arrival{At: o.at, Event: o.event(c)}) {
				return
			}
		}
		for len(way) > 0 {
			if !yield(way.arrive(c)) {
				return
			}
		}
	}
}

// occurrences yields all events in the order of their times.
func (c Config) occurrences() iter.Seq[occurrence] {
	return func(yield func(occurrence) bool) {
		events := uint64(c.Customers) * uint64(c.EventsPerMonth)
		for m := range c.Months {
			start := c.month(m)
			length := uint64(c.month(m+1).Sub(start) / time.Millisecond) // less than 2^32
			order := newShuffle(events, c.Seed, uint64(m))
			times := newMoments(int64(events), chanceOf(c.Seed, forTimes, uint64(m)))
			for i := range events {
				at := start.Add(time.Duration(times.next()*length>>32) * time.Millisecond)
				if !yield(occurrence{month: m, number: order.at(i), at: at}) {
					return
				}
			}
		}
	}
}

// travelling is an event that has happened and not arrived.
type travelling struct {
	at       time.Time
	sequence int64 // among equal times of arrival, the order of the events' own times
	occurrence
}

// underway is a heap of events, the next to arrive on top.
type underway []travelling

func (w underway) before(i, j int) bool {
	if !w[i].at.Equal(w[j].at) {
		return w[i].at.Before(w[j].at)
	}
	return w[i].sequence < w[j].sequence
}

func (w *underway) push(t travelling) {
	*w = append(*w, t)
	heap := *w
	for i := len(heap) - 1; i > 0 && heap.before(i, (i-1)/2); i = (i - 1) / 2 {
		heap[i], heap[(i-1)/2] = heap[(i-1)/2], heap[i]
	}
}

// arrive takes the next event off the heap.
func (w *underway) arrive(c Config) Arrival {
	heap := *w
	t := heap[0]
	last := len(heap) - 1
	heap[0] = heap[last]
	heap = heap[:last]
	*w = heap
	for i := 0; ; {
		next := 2*i + 1
		if next+1 < last && heap.before(next+1, next) {
			next++
		}
		if next >= last || !heap.before(next, i) {
			return Arrival{At: t.at, Event: t.event(c)}
		}
		heap[i], heap[next] = heap[next], heap[i]
		i = next
	}
}
