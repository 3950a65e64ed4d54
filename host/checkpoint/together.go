package checkpoint

import "sync"

// together has transactions that come at a time written as one. Badger syncs its two
// logs for each transaction, one after the other: eight partitions that commit at the
// same moment wait for sixteen syncs. Who comes first writes its own at once; those
// that come while it waits for the disk are then written by one of them, in one
// transaction. Nobody waits for others to come.
type together struct {
	mu      sync.Mutex
	waiting []*member
	led     bool // somebody writes, or was told to
}

// member is a caller with what it wants written.
type member struct {
	writes []write
	cost   cost
	told   chan bool // whether it has to lead; when not, it was written
	err    error     // what became of it then
}

// join returns once writes were written by a call of all, this one's or another's,
// with that call's error. What is written together is within the limits, unless it is
// one member's alone.
func (t *together) join(writes []write, limit cost, keys int, all func([][]write) error) error {
	own := &member{writes: writes, told: make(chan bool, 1)}
	for _, w := range writes {
		own.cost = own.cost.plus(w.cost())
	}
	if !t.enter(own) && !<-own.told {
		return own.err
	}
	members := t.take(limit, keys)
	lists := make([][]write, len(members))
	for i, m := range members {
		lists[i] = m.writes
	}
	err := all(lists)
	t.leave()
	for _, m := range members[1:] { // the first one is own
		m.err = err
		m.told <- false
	}
	return err
}

// enter queues a member and reports whether it has to lead.
func (t *together) enter(m *member) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, m)
	lead := !t.led
	t.led = true
	return lead
}

// take takes the first member that waits, which is the one that leads, and those behind
// it as long as all are within the limits.
func (t *together) take(limit cost, keys int) []*member {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum, count, n := cost{}, 0, 0
	for _, m := range t.waiting {
		sum, count = sum.plus(m.cost), count+len(m.writes)
		if n > 0 && (!sum.within(limit) || count > keys) {
			break
		}
		n++
	}
	taken := t.waiting[:n:n]
	t.waiting = t.waiting[n:]
	return taken
}

// leave has the first member that waits lead.
func (t *together) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.led = len(t.waiting) > 0; t.led {
		t.waiting[0].told <- true
	}
}
