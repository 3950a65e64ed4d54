package identity

// job rewrites one level into the next version of itself, one segment at a
// time, so that no Add waits for more than that. The entries that it adds stay
// where they were until it is done, so that an identity is found all the while:
// at worst twice.
type job struct {
	into **level // the level that is rewritten
	next *level
	at   int // the segment of the old level to do next

	keys []uint64 // the keys to add, sorted, of one run
	run  uint32
	from *level // or the level whose entries are added

	purge bool // entries of runs that are gone are left out
	done  func()
}

// jobs does one job after the other, and has their memory.
type jobs struct {
	now    *job
	list   []loose
	counts []uint16
	spare  buffers
}

// begin begins a job that adds so many entries.
func (s *Set) begin(j job, adds int) {
	l := *j.into
	j.next = newLevel(l.bucketBits, l.count+adds, len(s.runs))
	if j.next.segmentBits < l.segmentBits { // never fewer: an old segment fills whole new ones
		j.next = &level{segments: make([]segment, len(l.segments)), segmentBits: l.segmentBits, bucketBits: l.bucketBits}
	}
	s.jobs.now = &j
}

// choose begins the job that is due, if any.
func (s *Set) choose() {
	switch {
	case s.purge > 0:
		into := &s.small
		if s.purge == 1 {
			into = &s.large
		}
		s.begin(job{into: into, purge: true, done: s.purged}, 0)
	case s.small.count >= max(s.smallMin, s.large.count/smallShare):
		s.begin(job{into: &s.large, from: s.small, done: s.emptySmall}, s.small.count)
	case len(s.committed) > 0 && s.committed[0].run.gone:
		s.indexed()
	case len(s.committed) > 0:
		seal := s.committed[0]
		s.begin(job{into: &s.small, keys: seal.keys, run: seal.number, done: s.indexed}, len(seal.keys))
	}
}

// smallShare is the part of the large level that the small one may be: how
// often the large one is rewritten, against how much the small one is.
const smallShare = 16

// step does a little of what is to be done.
func (s *Set) step() error {
	if s.jobs.now == nil {
		if s.choose(); s.jobs.now == nil {
			return nil
		}
	}
	j := s.jobs.now
	old := *j.into
	from, to := old.bounds(j.at)
	list := s.gather(j, from, to)
	var err error
	if j.next.segmentBits == old.segmentBits && !j.purge {
		err = j.next.extend(j.at, &old.segments[j.at], list, s.counts(old), &s.jobs.spare)
	} else {
		list = old.loosen(list, j.at, from, to)
		if j.purge {
			list = s.living(list)
		}
		err = s.spread(j.next, list, from, to)
	}
	s.jobs.list = list[:0]
	if err != nil {
		return err
	}
	s.jobs.spare.give(&old.segments[j.at])
	if j.at++; j.at == len(old.segments) {
		*j.into = j.next
		s.jobs.now = nil
		j.done()
	}
	return nil
}

func (s *Set) counts(l *level) []uint16 {
	if len(s.jobs.counts) != 1<<l.bucketBits {
		s.jobs.counts = make([]uint16, 1<<l.bucketBits)
	}
	return s.jobs.counts
}

// gather collects what a job adds in a range of keys; to is 0 beyond the last.
func (s *Set) gather(j *job, from, to uint64) []loose {
	list := s.jobs.list[:0]
	if j.from != nil {
		return j.from.within(list, from, to)
	}
	for len(j.keys) > 0 && (to == 0 || j.keys[0] < to) {
		list = append(list, j.keys[0]&^runMask|uint64(j.run))
		j.keys = j.keys[1:]
	}
	return list
}

// living drops the entries of runs that are gone.
func (s *Set) living(list []loose) []loose {
	kept := list[:0]
	for _, e := range list {
		if r := s.runs[e&runMask]; r != nil && !r.gone {
			kept = append(kept, e)
		}
	}
	return kept
}

// spread builds the segments of a level that a segment of an older one becomes.
func (s *Set) spread(l *level, list []loose, from, to uint64) error {
	first, last := int(from>>(64-l.segmentBits)), int((to-1)>>(64-l.segmentBits))
	if first == last {
		return l.build(first, list, &s.jobs.spare)
	}
	// Parts are put in order by their segment.
	parts := make([][]loose, last-first+1)
	for _, e := range list {
		p := int(e>>(64-l.segmentBits)) - first
		parts[p] = append(parts[p], e)
	}
	for p, part := range parts {
		if err := l.build(first+p, part, &s.jobs.spare); err != nil {
			return err
		}
	}
	return nil
}

// emptySmall follows when the small level is in the large one.
func (s *Set) emptySmall() {
	for i := range s.small.segments {
		s.jobs.spare.give(&s.small.segments[i])
	}
	s.small = newLevel(s.bucketBits, s.smallMin, len(s.runs)) // as it will soon be
}

// indexed follows when a run is in the small level: its generation is not
// needed any more.
func (s *Set) indexed() {
	seal := s.committed[0]
	s.committed = append(s.committed[:0], s.committed[1:]...)
	s.drop(seal.generation)
}

// purged follows when a level has no entries of runs that are gone.
func (s *Set) purged() {
	if s.purge--; s.purge > 0 {
		return
	}
	for i, r := range s.runs {
		if r != nil && r.gone {
			if s.purgeAgain {
				continue // one that went meanwhile may still be in a level
			}
			s.runs[i] = nil
		}
	}
	if s.purgeAgain {
		s.purge, s.purgeAgain = purgeBoth, false
	}
}

// purgeBoth has both levels purged, the small one first.
const purgeBoth = 2
