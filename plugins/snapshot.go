package plugins

import "os"

// snapshot is the state of an instance at one moment: memory and mutable globals.
type snapshot struct {
	image   []byte // memory from the start to the end of what is in use
	globals []uint64
}

// systemPage is the granularity at which memory can be given back.
var systemPage = os.Getpagesize()

// capture takes a snapshot. The arena is left out: it belongs to the host, which zeroes it before
// every call. Memory behind the size that the plugin has asked for is zeroed as well, so that the
// image holds all there is.
func (i *Instance) capture() {
	i.zeroArena()
	end := int(uint32(i.control.pages.Get())) * pageSize
	zeroPages(i.memory[end:])
	s := &i.snapshot
	if cap(s.image) < end {
		s.image = make([]byte, end)
	}
	s.image = s.image[:end]
	copy(s.image, i.memory)
	s.globals = s.globals[:0]
	for _, g := range i.state {
		s.globals = append(s.globals, g.Get())
	}
}

// restore puts the instance back to its snapshot. It costs a copy of the memory in use, and does
// not depend on how far the plugin had grown it since: pages behind the image are given back.
func (i *Instance) restore() {
	s := &i.snapshot
	from, to := int(i.arenaPtr), int(i.arenaPtr)+len(i.arena)
	copy(i.memory[:from], s.image[:from])
	copy(i.memory[to:], s.image[to:])
	zeroPages(i.memory[len(s.image):])
	i.zeroArena()
	for k, g := range i.state {
		g.Set(s.globals[k])
	}
	i.resetHost()
}

// zeroArena zeroes the arena: what the host wrote by hand, since it will be written again, and the
// rest by giving its pages back, which costs nothing for pages that nobody touched.
func (i *Instance) zeroArena() {
	if len(i.arena) == 0 {
		return
	}
	base := int(i.arenaPtr)
	end := base + len(i.arena)
	from := min((base+i.used+systemPage-1)/systemPage*systemPage, end)
	to := max(end/systemPage*systemPage, from)
	clear(i.memory[base:from])
	zeroPages(i.memory[from:to])
	clear(i.memory[to:end])
	i.used = 0
}
