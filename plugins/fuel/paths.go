package fuel

// paths computes what the charges of a function cost. Each loop, and the function itself, is the
// head of a region: the instructions inside it that are in no inner loop. All branches but those
// back to a head lead forward, so a region runs along one path between two passes of its head, and
// what the head has to charge is the longest path there is.
type paths struct {
	blocks  []block
	loops   []uint64 // path at the entry of each open loop, in the region around it
	regions []uint64 // longest path of each region
	region  int      // region of the code being read
	path    uint64   // longest path from the head of the region to here
	dead    bool     // nothing leads here
}

// block is an open block.
type block struct {
	op     byte   // opcBlock, opcLoop, opcIf, or opcElse once that was read
	region int    // of the code around the block
	loops  int    // open loops around the block
	entry  uint64 // path where the block begins
	dead   bool   // nothing leads to where the block begins
	in     uint64 // longest path of the branches to the end of the block
	hasIn  bool   // there are such branches
}

// begin starts a function, whose body is a block of its own.
func (p *paths) begin() {
	p.blocks = append(p.blocks[:0], block{op: opcBlock})
	p.regions = append(p.regions[:0], 0)
	p.loops = p.loops[:0]
	p.region, p.path, p.dead = 0, 0, false
}

// step makes the path longer.
func (p *paths) step(cost uint64) {
	if p.dead {
		return
	}
	p.path += cost
	p.regions[p.region] = max(p.regions[p.region], p.path)
}

// open enters a block.
func (p *paths) open(op byte) {
	p.blocks = append(p.blocks, block{op: op, region: p.region, loops: len(p.loops), entry: p.path, dead: p.dead})
	if op == opcLoop {
		p.loops = append(p.loops, p.path)
		p.region = len(p.regions)
		p.regions = append(p.regions, 0)
		p.path = 0
	}
}

// branch notes a branch to a block, counted from the innermost. A branch to a loop begins a new
// pass and ends the path. A branch out of a loop goes on where the path of the region around had
// come when it met the loop.
func (p *paths) branch(level int) {
	b := &p.blocks[len(p.blocks)-1-level]
	if p.dead || b.op == opcLoop {
		return
	}
	path := p.path
	if len(p.loops) > b.loops {
		path = p.loops[b.loops]
	}
	b.join(path)
}

func (b *block) join(path uint64) { b.in, b.hasIn = max(b.in, path), true }

// otherwise passes from the first to the second branch of an if.
func (p *paths) otherwise() bool {
	b := &p.blocks[len(p.blocks)-1]
	if b.op != opcIf {
		return false
	}
	if !p.dead {
		b.join(p.path)
	}
	b.op = opcElse
	p.path, p.dead = b.entry, b.dead
	return true
}

// close leaves a block.
func (p *paths) close() {
	b := p.blocks[len(p.blocks)-1]
	p.blocks = p.blocks[:len(p.blocks)-1]
	switch b.op {
	case opcLoop:
		p.loops = p.loops[:len(p.loops)-1]
		p.region, p.path = b.region, b.entry
		return
	case opcIf:
		if !b.dead { // without an else, the condition may also lead here at once
			b.join(b.entry)
		}
	}
	if !b.hasIn {
		return
	}
	if p.dead {
		p.path, p.dead = b.in, false
		return
	}
	p.path = max(p.path, b.in)
}
