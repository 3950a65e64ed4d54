package accumulate

import (
	"slices"

	"github.com/tollway/tollway/host/rate"
)

// Follower reads all slots of the committed state, as they are at one checkpoint,
// and afterwards those that later checkpoints have changed. It neither stops the
// partition nor copies the state: it reads some slots at a time, and those that a
// checkpoint has changed meanwhile once more, until what it has read is what one
// checkpoint holds.
//
// While there is one, a checkpoint notes the numbers of the slots that it changes,
// four bytes each. A follower belongs to one goroutine at a time; Close it.
type Follower struct {
	state *State
	walk  bool // all slots have to be read

	// The state's lock guards what follows.
	changed [][]uint32 // numbers of slots that checkpoints have changed since they were read
	n       int        // how many those are
	lost    bool       // they were too many to be noted
}

// Bounds of what a follower reads and keeps.
const (
	followChunk = 256    // slots read under one lock
	followFew   = 1_024  // that may be read under the last one
	followTurns = 16     // attempts to come so near; then the lock is held as long as it takes
	followNotes = 65_536 // changes noted whatever the number of slots is
)

// Follow begins to follow the committed state.
func (s *State) Follow() *Follower {
	f := &Follower{state: s, walk: true}
	s.mu.Lock()
	s.followers = append(s.followers, f)
	s.mu.Unlock()
	return f
}

// Close ends it.
func (f *Follower) Close() {
	s := f.state
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := make([]*Follower, 0, len(s.followers))
	for _, other := range s.followers {
		if other != f {
			kept = append(kept, other)
		}
	}
	s.followers = kept
	f.changed = nil
}

// Read calls visit with every slot that may differ from what the last Read has
// shown, all of them the first time; with some more than once: the last time
// counts. It returns the header of the checkpoint that all slots together are as
// of. visit must not keep the content, nor call the state. begin is called first:
// fresh says that all slots will be visited.
func (f *Follower) Read(begin func(fresh bool), visit func(l *rate.Live, c rate.Content)) Header {
	s := f.state
	if f.forgotten() {
		f.walk = true
	}
	begin(f.walk)
	if f.walk {
		f.walk = false
		for from := uint32(0); from < f.slots(); from += followChunk {
			s.mu.RLock()
			for n := from; n < min(from+followChunk, s.slots.Len()); n++ {
				s.visit(n, visit)
			}
			s.mu.RUnlock()
		}
	}
	for turn := 0; ; turn++ {
		numbers, header, done := f.take(turn == followTurns, visit)
		if done {
			return header
		}
		for len(numbers) > 0 {
			n := min(len(numbers), followChunk)
			s.mu.RLock()
			for _, number := range numbers[:n] {
				s.visit(number, visit)
			}
			s.mu.RUnlock()
			numbers = numbers[n:]
		}
	}
}

// forgotten reports whether changes could not be noted, and forgets that.
func (f *Follower) forgotten() bool {
	f.state.mu.Lock()
	defer f.state.mu.Unlock()
	lost := f.lost
	if lost {
		f.changed, f.n, f.lost = nil, 0, false
	}
	return lost
}

// slots returns how many slots there are.
func (f *Follower) slots() uint32 {
	f.state.mu.RLock()
	defer f.state.mu.RUnlock()
	return f.state.slots.Len()
}

// take returns the slots to be read again. When they are few, or this is the last
// turn, it visits them at once, with no checkpoint between, and is done.
func (f *Follower) take(last bool, visit func(l *rate.Live, c rate.Content)) (numbers []uint32, h Header, done bool) {
	s := f.state
	s.mu.Lock()
	defer s.mu.Unlock()
	lists := f.changed
	few := f.n <= followFew || last
	f.changed, f.n = nil, 0
	if few && !f.lost {
		for _, list := range lists {
			for _, n := range list {
				s.visit(n, visit)
			}
		}
		return nil, s.committed, true
	}
	if f.lost { // the partition was faster than the reader: it stands still for once
		f.lost = false
		for n := range s.slots.Len() {
			s.visit(n, visit)
		}
		return nil, s.committed, true
	}
	for _, list := range lists {
		numbers = append(numbers, list...)
	}
	return numbers, Header{}, false
}

// visit shows a slot of the committed state. The lock is held.
func (s *State) visit(n uint32, visit func(l *rate.Live, c rate.Content)) {
	l := s.slots.At(n)
	if names, c, ok := s.content(l, Committed); ok {
		visit(names, c)
	}
}

// VisitAccount shows an account's slots, in the order of their keys, and returns the
// header of the same state. visit must not keep the content, nor call the state.
func (s *State) VisitAccount(id string, v View, visit func(l *rate.Live, c rate.Content)) Header {
	hash := accountHash(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if a := s.accounts.find(id, hash); a != nil {
		for l := range a.Slots() {
			if names, c, ok := s.content(l, v); ok {
				visit(names, c)
			}
		}
	}
	return s.headerOf(v)
}

// ChangedSince reports whether a slot of an account has changed behind a generation;
// also where that is not durable yet.
func (s *State) ChangedSince(id string, generation uint32) bool {
	hash := accountHash(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.accounts.find(id, hash)
	return a != nil && a.Has(func(l *rate.Live) bool { return l.Epoch > generation })
}

// AccountsOf calls fn with the accounts of which a generation has changed a slot, with
// some of them more than once. The generation is durable, and the next is not cut yet.
func (s *State) AccountsOf(g *Generation, fn func(id string)) {
	var ids [followChunk]string
	for rest := g.dirty; len(rest) > 0; {
		n := min(len(rest), len(ids))
		s.mu.RLock()
		for i, number := range rest[:n] {
			ids[i] = s.slots.At(number).Account().ID()
		}
		s.mu.RUnlock()
		for _, id := range ids[:n] {
			fn(id)
		}
		rest = rest[n:]
	}
}

// tell notes that a generation, which is durable now, has changed slots. The lock
// is held.
func (s *State) tell(g *Generation) {
	if len(s.followers) == 0 {
		return
	}
	numbers := slices.Clone(g.dirty) // its memory is used again
	for _, f := range s.followers {
		if f.lost || len(numbers) == 0 {
			continue
		}
		f.changed = append(f.changed, numbers)
		if f.n += len(numbers); f.n > max(followNotes, int(s.slots.Len())) {
			f.changed, f.n, f.lost = nil, 0, true
		}
	}
}

// Generation returns the number of the last generation that is durable, which later
// ones exceed. It counts from the start of the process.
func (s *State) Generation() uint32 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.durable
}
