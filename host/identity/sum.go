package identity

import (
	"encoding/binary"
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

// Sum is the sum of the hashes of the identities that the batch adds, modulo
// 2^64: in whatever order they came, the same identities have the same. It may be
// called where Put may.
func (b Batch) Sum() (sum uint64) {
	for _, p := range b.parts {
		for i := range p.records {
			sum += p.records[i].hash()
		}
	}
	return sum
}

// Stored is what SumStored reads of a checkpoint. *checkpoint.Partition and
// *checkpoint.View are.
type Stored interface {
	LogFirst(log uint8) uint64
	LogRange(log uint8, from uint64, limit int, fn func(n uint64, entry []byte) error) error
}

// SumStored reads all identities that a checkpoint holds and returns the sum of
// their hashes: that of the batches that were committed, as long as nothing has
// expired.
//
// # Errors
//
// Those of the store, and ErrCorrupt.
func SumStored(store Stored, o Options) (sum uint64, err error) {
	var runs []run
	below := uint64(0)
	err = store.LogRange(o.Filters, store.LogFirst(o.Filters), 0, func(n uint64, blob []byte) error {
		f, err := parseFilter(blob)
		if err != nil {
			return damaged(o.Filters, n, err)
		}
		below = max(below, f.recentBelow)
		if f.count > 0 {
			runs = append(runs, run{entry: n, firstPiece: f.firstPiece, firstKeys: f.firstKeys, count: f.count})
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for i := range runs {
		part, err := runs[i].sum(store, o)
		if err != nil {
			return 0, err
		}
		sum += part
	}
	err = store.LogRange(o.Recent, max(below, store.LogFirst(o.Recent)), 0, func(n uint64, blob []byte) error {
		part, _, err := sumBlob(blob, blobRecent)
		if err != nil {
			return damaged(o.Recent, n, err)
		}
		sum += part
		return nil
	})
	return sum, err
}

// sum reads a run, which must have as many identities as its filter says.
func (r *run) sum(store Stored, o Options) (sum uint64, err error) {
	count := 0
	err = store.LogRange(o.Pieces, r.firstPiece, len(r.firstKeys), func(n uint64, blob []byte) error {
		part, records, err := sumBlob(blob, blobPiece)
		if err != nil {
			return damaged(o.Pieces, n, err)
		}
		sum, count = sum+part, count+records
		return nil
	})
	if err == nil && count != r.count {
		err = damaged(o.Filters, r.entry, errNotThere)
	}
	return sum, err
}

func sumBlob(blob []byte, kind byte) (sum uint64, count int, err error) {
	r, err := parseRecords(blob, kind)
	if err != nil {
		return 0, 0, err
	}
	err = r.each(func(at *record) { sum += at.hash() })
	return sum, r.count, err
}
