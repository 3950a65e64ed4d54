package faultfs

import (
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
)

// sectorBytes is what a disk writes at once.
const sectorBytes = 512

// flush brings what is pending of a file or folder to the medium.
func (d *Disk) flush(n *inode) syscall.Errno {
	if errno := d.allow(OpSync, n.path()); errno != 0 {
		for i := range n.pending {
			n.pending[i].lost = true
		}
		return errno
	}
	for _, p := range n.pending {
		switch {
		case p.lost:
		case p.cut:
			n.durable.truncate(p.size)
		default:
			n.durable.writeAt(p.data, p.off)
		}
	}
	n.pending = nil
	if d.options.Strict {
		d.flushFolder(n)
		return 0
	}
	for i := len(d.journal) - 1; i >= 0; i-- {
		if slices.Contains(d.journal[i].about, n) {
			for _, c := range d.journal[:i+1] {
				c.keep()
			}
			d.journal = slices.Delete(d.journal, 0, i+1)
			break
		}
	}
	return 0
}

// flushFolder brings the names in a folder to the medium, and no others.
func (d *Disk) flushFolder(n *inode) {
	d.journal = slices.DeleteFunc(d.journal, func(c change) bool {
		concerned := slices.ContainsFunc(c.sets, func(s set) bool { return s.folder == n })
		if concerned {
			c.keep()
		}
		return concerned
	})
}

// keep brings a change of names to the medium.
func (c change) keep() {
	for _, s := range c.sets {
		if s.node == nil {
			delete(s.folder.durableEntries, s.name)
		} else {
			s.folder.durableEntries[s.name] = s.node
		}
	}
}

// Losses says what a power cut had to choose from and what it took.
type Losses struct {
	Writes, Sectors int // that were not synced, and of whose sectors so many
	SectorsLost     int
	SectorsTorn     int
	Names           int // changes of names that were not synced
	NamesLost       int
}

// PowerOn gives power to a disk that has none, after deciding what of the changes
// that were not synced is on the medium. Nothing may use the disk meanwhile. Rules
// are forgotten.
func (d *Disk) PowerOn(seed uint64) Losses {
	d.mu.Lock()
	defer d.mu.Unlock()
	chance := rand.New(rand.NewPCG(seed, 0xd15c))
	var lost Losses
	lost.Names = len(d.journal)
	upTo := chance.IntN(len(d.journal) + 1)
	for i, c := range d.journal {
		keep := i < upTo
		if d.options.Strict {
			keep = chance.IntN(2) == 0
		}
		if keep {
			c.keep()
		} else {
			lost.NamesLost++
		}
	}
	d.journal = nil
	for _, id := range slices.Sorted(maps.Keys(d.inodes)) {
		d.inodes[id].survive(chance, &lost)
	}
	d.reread()
	d.rules, d.cutAt, d.off, d.gone = nil, 0, false, make(chan struct{})
	return lost
}

// survive decides what of a file's pending changes is on the medium.
func (n *inode) survive(chance *rand.Rand, lost *Losses) {
	sizes := chance.IntN(len(n.pending) + 1) // so many changes of the size are
	for i, p := range n.pending {
		if p.lost {
			continue
		}
		if !p.cut {
			lost.Writes++
			n.durable.survive(p, chance, lost)
		}
		if i < sizes && p.cut {
			n.durable.truncate(p.size)
		} else if i < sizes {
			n.durable.size = max(n.durable.size, p.off+int64(len(p.data)))
		}
	}
	n.durable.truncate(n.durable.size) // what was written behind the end is not there
	n.pending = nil
	n.live = n.durable.clone()
}

// survive writes what reaches the medium of a write.
func (c *content) survive(p pending, chance *rand.Rand, lost *Losses) {
	const all, nothing = 0, 1
	fate := chance.IntN(3)
	for done := 0; done < len(p.data); {
		at := p.off + int64(done)
		sector := p.data[done:min(len(p.data), done+int(sectorBytes-at%sectorBytes))]
		done += len(sector)
		lost.Sectors++
		dice := chance.IntN(20)
		switch {
		case fate == all, fate != nothing && dice < 9:
			c.put(sector, at)
		case fate != nothing && dice < 11:
			c.put(sector[:chance.IntN(len(sector))], at)
			lost.SectorsTorn++
		default:
			lost.SectorsLost++
		}
	}
}

// reread makes the names what the medium says.
func (d *Disk) reread() {
	for _, n := range d.inodes {
		n.parent = nil
	}
	found := map[uint64]*inode{}
	d.pages = 0
	var walk func(n *inode)
	walk = func(n *inode) {
		found[n.id] = n
		n.entries = maps.Clone(n.durableEntries)
		for name, child := range n.entries {
			child.parent, child.name = n, name
			d.pages += int64(len(child.live.pages))
			if child.folder {
				walk(child)
			} else {
				found[child.id] = child
			}
		}
	}
	walk(d.inodes[rootID])
	d.inodes = found
}
