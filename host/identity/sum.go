package identity

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// hash is a record's share of the sum over all identities. What it is made of
// are hashes already, keyed ones, so that little mixing does.
func (r *record) hash() uint64 {
	high, low := bits.Mul64(keyOf(&r.id), binary.LittleEndian.Uint64(r.Content[:8])^keyLow)
	mixed := high ^ low
	high, low = bits.Mul64(mixed^r.Position, binary.LittleEndian.Uint64(r.Content[8:])^uint64(r.until)^keyHigh)
	return high ^ low
}

// Sums are sums of the hashes of identities, modulo 2^64, by the time at which they
// expire, unix ns: in whatever order they came, the same identities have the same. They
// are apart so that those of what has expired can be left out without reading it again.
type Sums map[int64]uint64

// summing adds to Sums. Most records expire at the same time as the one before.
type summing struct {
	sums  Sums
	until int64
	sum   uint64
	any   bool
}

// add takes a record, unless it has expired at a horizon.
func (s *summing) add(r *record, horizon int64) {
	if r.until < horizon {
		return
	}
	if r.until != s.until || !s.any {
		s.flush()
		s.until, s.any = r.until, true
	}
	s.sum += r.hash()
}

// flush returns the sums with all that was added.
func (s *summing) flush() Sums {
	if s.sums == nil {
		s.sums = Sums{}
	}
	if s.any {
		s.sums[s.until] += s.sum
	}
	s.sum, s.any = 0, false
	return s.sums
}

// Sums are those of the identities that the batch adds, also of what has expired since
// it was added. It may be called where Put may.
func (b Batch) Sums() Sums {
	var s summing
	for _, p := range b.parts {
		for i := range p.records {
			s.add(&p.records[i], math.MinInt64)
		}
	}
	return s.flush()
}

// Stored is what SumStored reads of a checkpoint. *checkpoint.Partition and
// *checkpoint.View are.
type Stored interface {
	LogFirst(log uint8) uint64
	LogRange(log uint8, from uint64, limit int, fn func(n uint64, entry []byte) error) error
}

// SumStored reads all identities that a checkpoint holds and have not expired at the
// horizon of the options, and returns their sums: those of the batches that were
// committed, less what has expired. Of runs that have expired as a whole nothing is
// read, since it may be gone.
//
// # Errors
//
// Those of the store, and ErrCorrupt.
func SumStored(store Stored, o Options) (Sums, error) {
	var s summing
	var runs []run
	below := uint64(0)
	err := store.LogRange(o.Filters, store.LogFirst(o.Filters), 0, func(n uint64, blob []byte) error {
		f, err := parseFilter(blob)
		if err != nil {
			return damaged(o.Filters, n, err)
		}
		below = max(below, f.recentBelow)
		if f.count > 0 && f.until >= o.Horizon {
			runs = append(runs, run{entry: n, firstPiece: f.firstPiece, firstKeys: f.firstKeys, count: f.count})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range runs {
		if err := runs[i].sum(store, o, &s); err != nil {
			return nil, err
		}
	}
	err = store.LogRange(o.Recent, max(below, store.LogFirst(o.Recent)), 0, func(n uint64, blob []byte) error {
		if _, err := sumBlob(blob, blobRecent, o.Horizon, &s); err != nil {
			return damaged(o.Recent, n, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.flush(), nil
}

// sum reads a run, which must have as many identities as its filter says.
func (r *run) sum(store Stored, o Options, into *summing) error {
	count := 0
	err := store.LogRange(o.Pieces, r.firstPiece, len(r.firstKeys), func(n uint64, blob []byte) error {
		records, err := sumBlob(blob, blobPiece, o.Horizon, into)
		if err != nil {
			return damaged(o.Pieces, n, err)
		}
		count += records
		return nil
	})
	if err == nil && count != r.count {
		err = damaged(o.Filters, r.entry, errNotThere)
	}
	return err
}

// sumBlob adds a blob's records and returns how many it has, also of what has expired.
func sumBlob(blob []byte, kind byte, horizon int64, into *summing) (count int, err error) {
	r, err := parseRecords(blob, kind)
	if err != nil {
		return 0, err
	}
	return r.count, r.each(func(at *record) { into.add(at, horizon) })
}
