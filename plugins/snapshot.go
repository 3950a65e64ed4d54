package plugins

import (
	"errors"
	"fmt"
	"os"
)

// snapshot is the state of an instance at one moment: memory and mutable globals.
//
// Putting it back is the price of every call, so it matters how. Where the system can tell which
// pages were written to (see tracker), only those are copied, a handful for a call that does not
// allocate; elsewhere all of the memory in use is copied.
type snapshot struct {
	image   []byte // memory from the start to the end of what is in use
	tracked bool   // image belongs to the tracker
	globals []uint64
}

// span is a range of offsets into a memory.
type span struct{ from, to int }

// systemPage is the granularity at which memory can be given back.
var systemPage = os.Getpagesize()

func pageUp(n int) int   { return (n + systemPage - 1) / systemPage * systemPage }
func pageDown(n int) int { return n / systemPage * systemPage }

// arenaPages are the system pages that lie within the arena as a whole. The arena belongs to the
// host, which zeroes it before every call; a snapshot leaves it out.
func (i *Instance) arenaPages() span {
	from, to := pageUp(int(i.arenaPtr)), pageDown(int(i.arenaPtr)+len(i.arena))
	return span{from, max(from, to)}
}

// capture takes a snapshot. Memory behind the size that the plugin has asked for is zeroed, so
// that the image holds all there is. After an error the instance is of no use.
func (i *Instance) capture() error {
	i.zeroArena()
	end := int(uint32(i.control.pages.Get())) * pageSize
	zeroPages(i.memory[end:])
	old := i.snapshot
	s := snapshot{globals: old.globals[:0]}
	for _, g := range i.state {
		s.globals = append(s.globals, g.Get())
	}
	if old.tracked && len(old.image) == end && i.module.tracker.renew(i.memory[:end], old.image, i.arenaPages()) == nil {
		s.image, s.tracked = old.image, true
		i.snapshot = s
		return nil
	}
	image, err := i.module.tracker.track(i.memory[:end], i.arenaPages())
	switch {
	case err == nil:
		s.image, s.tracked = image, true
	case errors.Is(err, errUntracked):
		s.image = append(s.image, i.memory[:end]...)
	default:
		return fmt.Errorf("plugin %s: taking a snapshot: %w", i.module.label(), err)
	}
	old.release()
	i.snapshot = s
	return nil
}

// release gives back what the snapshot holds outside of the Go heap.
func (s *snapshot) release() {
	if s.tracked {
		release(s.image)
	}
	*s = snapshot{}
}

// restore puts the instance back to its snapshot, with an arena of zeros.
func (i *Instance) restore() {
	i.restoreMemory()
	i.zeroArena()
}

// restoreMemory puts the instance back to its snapshot, but for the arena, of which any part may
// change. Pages that the plugin has grown into since are given back.
func (i *Instance) restoreMemory() {
	s := &i.snapshot
	end := len(s.image)
	if s.tracked {
		i.module.tracker.revert(i.memory[:end], s.image, i.arenaPages())
	} else {
		from, to := int(i.arenaPtr), int(i.arenaPtr)+len(i.arena)
		copy(i.memory[:from], s.image[:from])
		copy(i.memory[to:], s.image[to:])
	}
	zeroPages(i.memory[end:])
	for k, g := range i.state {
		g.Set(s.globals[k])
	}
	i.resetHost()
}

// zeroArena zeroes the arena: what the host wrote by hand, since it will be written again, and the
// rest by giving its pages back, which costs nothing for pages that nobody touched.
func (i *Instance) zeroArena() {
	i.zeroBehind(0)
	i.used = 0
}

// zeroBehind zeroes the arena from used on, which is how much of it the host has now written.
func (i *Instance) zeroBehind(used int) {
	if len(i.arena) == 0 {
		return
	}
	base := int(i.arenaPtr)
	pages := i.arenaPages()
	pages.from = min(max(pages.from, pageUp(base+max(used, i.used))), pages.to)
	if start := base + used; start < pages.from {
		clear(i.memory[start:pages.from])
	}
	zeroPages(i.memory[pages.from:pages.to])
	clear(i.memory[max(pages.to, base+used) : base+len(i.arena)])
	i.used = used
}
