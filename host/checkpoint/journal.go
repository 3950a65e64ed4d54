package checkpoint

// Every commit adds a run to each journal that it appends to, and a journal's runs are
// never merged: of one that is never trimmed, or seldom, the commit record would name
// ever more, until it did not fit in a transaction. So a commit that appends little makes
// the journal's last run longer instead, as long as the run is short.
//
// The run counts already, so nothing of what is added may be on the disk before the
// record that names it: the commit has to be a single transaction. One that is not adds
// runs.
const (
	// journalRunSegments and journalRunBytes are up to where a run is made longer. What
	// is trimmed goes by runs, so a journal holds as much beyond what its caller needs.
	journalRunSegments = trimSegmentsMax
	journalRunBytes    = 4 << 20
)

// longer is a journal whose last run is made longer.
type longer struct {
	family  family
	last    run
	entries [][]byte
}

// longer returns the last run of a log as one that takes entries, false when they are to
// be a run of their own. room says that they have room in front.
func (p *Partition) longer(current *state, log uint8, entries [][]byte, room bool) (longer, bool) {
	f := current.find(p.log(log))
	if !p.store.journals[log] || f == nil || len(f.runs) == 0 {
		return longer{}, false
	}
	last := f.runs[len(f.runs)-1]
	if !p.alone(log, last) || int(last.segments)+len(entries) > p.store.journalRun {
		return longer{}, false
	}
	bytes := last.bytes
	for _, e := range entries {
		n := segmentBytesOf(e, room)
		if bytes += uint64(n); n > p.store.segmentBytes || bytes > journalRunBytes {
			return longer{}, false
		}
	}
	return longer{family: f.family, last: last, entries: entries}, true
}

// segmentBytesOf is the size of the segment that a journal's entry has to itself.
func segmentBytesOf(entry []byte, room bool) int {
	if room {
		return len(entry)
	}
	return segmentHeaderSize + len(entry)
}

// fitsLast reports whether journals' segments and the last writes of a commit go into the
// transaction that is pending, as its only one.
func (w *writer) fitsLast(journals []longer, room bool, last int, lastCost cost) bool {
	if w.split {
		return false
	}
	total, count := w.cost.plus(lastCost), len(w.pending)+len(w.runs)+last
	total.tree += len(w.runs) * markerBytes
	for _, j := range journals {
		count += len(j.entries)
		for _, e := range j.entries {
			n := segmentBytesOf(e, room)
			total = total.plus(costOf(segmentKeySize, n))
		}
	}
	return total.within(w.limit) && count <= w.store.txnWrites
}

// packLonger appends entries to a run that counts already.
func (p *Partition) packLonger(j longer, room bool) (run, error) {
	k := packer{out: &p.writer, family: j.family, limit: p.store.segmentBytes, next: j.last.end(), run: j.last}
	add := k.alone
	if room {
		add = k.roomy
	}
	for _, e := range j.entries {
		if err := add(e); err != nil {
			return run{}, err
		}
	}
	p.store.counters.entries.Add(uint64(len(j.entries)))
	return k.finish()
}

// lengthened returns s with the last run of a journal as it is now.
func (s *state) lengthened(f family, r run) *state {
	now := *s.find(f)
	now.runs = append(now.runs[:len(now.runs)-1:len(now.runs)-1], r)
	return s.with(now)
}
