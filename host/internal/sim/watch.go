package sim

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/internal/oracle"
	"github.com/tollway/tollway/host/stream"
)

// watch checks what must hold at every moment, and remembers what is compared with
// the oracle in the end. Calls come one at a time, since a gate is behind each.
type watch struct {
	world *world
	seen  map[int]map[uint64]record // by partition and position
	stood map[int]record            // by partition: the farthest numbers that an anchor has stood for
}

// record is what a checkpoint says.
type record struct {
	counts  oracle.Counts
	letters int // numbers of the last entries
	bills   int
	alerts  int
	sum     [sha256.Size]byte // over all that must be a function of the log
}

// committed looks at a checkpoint.
func (s *watch) committed(p *process, partition int, c *content) {
	w := s.world
	h, err := accumulate.DecodeHeader(c.header)
	if err != nil {
		w.violated("checkpoint", "partition %d: %v", partition, err)
		return
	}
	r := record{counts: oracle.Counts{
		Read: int(h.Counters.Read), Priced: int(h.Counters.Priced), Duplicates: int(h.Counters.Duplicates),
		DeadLettered: int(h.Counters.DeadLettered), Discarded: int(h.Counters.Discarded),
	}}
	r.letters, r.bills = int(c.log(accumulate.LogDeadLetters).last()), int(c.log(accumulate.LogInvoices).last())
	r.alerts = int(c.log(accumulate.LogAlerts).last())
	sum := sha256.New()
	for _, log := range accumulate.SummedLogs() {
		for _, e := range c.log(log).list {
			fmt.Fprintf(sum, "%d:%s;", len(e), e)
		}
	}
	fmt.Fprint(sum, h.Counters, h.CatalogRevision, h.CatalogDigest, h.Watermark, h.Earliest, h.Closed, h.Digest)
	sum.Sum(r.sum[:0])
	w.note("%s partition %d: checkpoint at %d: %+v", p.name, partition, h.Position, r.counts)
	if h.Position == 0 {
		w.violated("P2 position", "partition %d: a checkpoint has no position", partition)
	}
	if before, known := s.seen[partition][h.Position]; known && before.sum != r.sum {
		w.violated("P2 function of the log", "partition %d at %d: %+v, and before %+v", partition, h.Position, r, before)
	}
	if s.seen[partition] == nil {
		s.seen[partition] = map[uint64]record{}
	}
	s.seen[partition][h.Position] = r
	if !h.Counters.Balanced() {
		w.violated("P1 balance", "partition %d at %d: %+v", partition, h.Position, r.counts)
	}
}

// farthest is the position of the last message that was ever committed.
func (s *watch) farthest(partition int) (last uint64) {
	for position := range s.seen[partition] {
		last = max(last, position)
	}
	return last
}

// anchored looks at an anchor.
func (s *watch) anchored(partition int, a stream.Anchor) {
	r, known := s.seen[partition][a.Position]
	if !known && a.Position > 0 {
		s.world.violated("P7 anchor", "partition %d: an anchor at %d, where there is no checkpoint", partition, a.Position)
	}
	far := s.stood[partition]
	s.stood[partition] = record{letters: max(far.letters, r.letters), bills: max(far.bills, r.bills), alerts: max(far.alerts, r.alerts)}
}

// published looks at an entry that goes outward: an anchor must have stood for it.
// It need not be the last one: a host that was taken over from may still send what
// its own anchor stood for, and what follows it may be behind.
func (s *watch) published(subject string, number uint64) {
	kind, digits, _ := strings.Cut(subject, ".")
	var partition int
	if _, err := fmt.Sscan(digits, &partition); err != nil {
		s.world.violated("subject", "%s: %v", subject, err)
		return
	}
	have := s.stood[partition].bills
	switch kind {
	case "dead_letters":
		have = s.stood[partition].letters
	case "alerts":
		have = s.stood[partition].alerts
	}
	if int(number) > have {
		s.world.violated("P7 nothing outward before its anchor", "%s: entry %d is published, an anchor stood for %d", subject, number, have)
	}
}

// shown is what a query has answered.
type shown struct {
	partition int
	position  uint64
	account   string
	rows      []string // as in oracle.Result.Open
}

// answered checks that what was shown as committed does not go back: by disk, as
// long as none was damaged.
func (w *world) answered(d *disk, positions map[int]uint64) {
	for n, position := range positions {
		if before := w.reached[d][n]; position < before {
			w.violated("P3 subtotals never go back", "partition %d of %s: queries have answered as of %d, and now as of %d", n, d.id, before, position)
		}
		if w.reached[d] == nil {
			w.reached[d] = map[int]uint64{}
		}
		w.reached[d][n] = position
	}
}
