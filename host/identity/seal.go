package identity

// A seal turns a generation that is full and committed as a whole into a run:
// its pieces go with one commit after the other, and its filter, which makes
// the run count, with the last. What a crash leaves of it before that is
// ignored, and written again.
type seal struct {
	generation *generation
	horizon    int64  // what expires before it is left out
	pieces     int    // in all
	firstPiece uint64 // entry of the log of pieces
	planned    int    // pieces that batches have
	filter     uint64 // entry of the log of filters, once a batch has it

	// Made by the first Put, which sorts, and read by the owner after Committed.
	sorted    bool
	order     []uint32
	keys      []uint64
	firstKeys []uint64
	until     int64

	// The owner's, once the seal is committed.
	run    *run
	number uint32
}

// sort puts the records in order, once.
func (l *seal) sort() {
	if l.sorted {
		return
	}
	l.sorted = true
	l.order, l.keys = l.generation.sorted(l.horizon)
	for _, at := range l.order {
		l.until = max(l.until, l.generation.records[at].until)
	}
	// A run with nothing in it has no pieces but those that were announced.
	for p := range l.pieces {
		first, last := l.piece(p)
		if first < last {
			l.firstKeys = append(l.firstKeys, l.keys[first])
		}
	}
}

// piece returns which of the sorted records a piece has. Where many have
// expired the pieces are smaller; those that are empty are the last.
func (l *seal) piece(p int) (first, last int) {
	size := (len(l.order) + l.pieces - 1) / l.pieces
	return min(len(l.order), p*size), min(len(l.order), (p+1)*size)
}

// gather appends the records of a piece.
func (l *seal) gather(dst []record, p int) []record {
	first, last := l.piece(p)
	for _, at := range l.order[first:last] {
		dst = append(dst, l.generation.records[at])
	}
	return dst
}
