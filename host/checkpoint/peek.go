package checkpoint

import "io"

// ReadAt reads a part of an entry of a log, from an offset on, as [io.ReaderAt] does. It
// checks no sum: it is for a caller who wants a small part of a large entry of a journal
// and checks it by a sum within. What is not asked for is not read from the disk.
//
// # Errors
//
// Those of Entry, and io.EOF where the entry ends before b is full.
func (p *Partition) ReadAt(log uint8, n uint64, b []byte, offset int64) (read int, err error) {
	read, ok := p.readPlaced(log, n, b, offset)
	if !ok {
		read, err = p.readViewed(log, n, b, offset)
	}
	if err == nil && read < len(b) {
		err = io.EOF
	}
	return read, err
}

// readViewed is ReadAt for any entry: all of it is read.
func (p *Partition) readViewed(log uint8, n uint64, b []byte, offset int64) (read int, err error) {
	err = p.View(log, n, func(entry []byte) error {
		read = copy(b, entry[min(offset, int64(len(entry))):])
		return nil
	})
	return read, err
}

// readPlaced is ReadAt for an entry that has a segment of its own in a value file. It
// reports false where that is not so, or where reading fails; then View says why.
func (p *Partition) readPlaced(log uint8, n uint64, b []byte, offset int64) (read int, ok bool) {
	if p.store.enter() != nil {
		return 0, false
	}
	defer p.store.leave()
	v := p.store.values
	turn := v.hold()
	defer v.release(turn)
	f := p.state.Load().find(p.log(log))
	if n == 0 || f == nil || n < f.first || n >= f.next() {
		return 0, false
	}
	r := f.runs[f.search(n)]
	if !p.alone(log, r) {
		return 0, false
	}
	var room [segmentKeySize]byte
	at, ok := v.where(appendSegmentKey(room[:0], f.family, r.id, uint32(n-r.first)))
	if !ok {
		return 0, false
	}
	left := max(0, int64(at.size)-segmentHeaderSize-offset)
	b = b[:min(int64(len(b)), left)]
	return len(b), v.read(at, b, segmentHeaderSize+offset) == nil
}
