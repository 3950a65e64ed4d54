package identity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Offsets in the blob of a filter; integers are little endian. Behind the header
// stand the first key of every piece, and the prefixes of the keys, each less
// the one before, as varints.
const (
	filterVersion  = 0
	filterKind     = 1
	filterReserved = 2
	filterPieces   = 4
	filterCount    = 8
	filterRecent   = 16 // the first entry of the recent log that is not in this run or one before
	filterPiece    = 24 // the entry of the first piece
	filterUntil    = 32 // latest end of a period
	filterSum      = 40 // CRC32C of all the rest
	filterZero     = 44
	filterHeader   = 48
)

// prefixBits is how many bits of a key a filter has. One in 2^43 divided by the
// number of identities is how rare false hits are: 1 in 80,000 at 100 million.
const prefixBits = 43

var (
	errBlobPrefixes = errors.New("has prefixes out of range")
	errPieces       = errors.New("names pieces that are not there")
)

// filter is a run's filter.
type filter struct {
	recentBelow uint64   // entries of the recent log below it are in this run or one before
	firstPiece  uint64   // the entry of the log of pieces
	firstKeys   []uint64 // of its pieces
	count       int
	until       int64 // latest end of a period, unix ns

	deltas []byte // the prefixes, encoded
}

// appendFilter appends the blob of a filter. The keys are sorted.
func appendFilter(dst []byte, f *filter, keys []uint64) []byte {
	first := len(dst)
	dst = append(dst, make([]byte, filterHeader)...)
	b := dst[first:]
	b[filterVersion], b[filterKind] = blobVersion, blobFilter
	binary.LittleEndian.PutUint32(b[filterPieces:], uint32(len(f.firstKeys)))
	binary.LittleEndian.PutUint64(b[filterCount:], uint64(f.count))
	binary.LittleEndian.PutUint64(b[filterRecent:], f.recentBelow)
	binary.LittleEndian.PutUint64(b[filterPiece:], f.firstPiece)
	binary.LittleEndian.PutUint64(b[filterUntil:], uint64(f.until))
	for _, k := range f.firstKeys {
		dst = binary.LittleEndian.AppendUint64(dst, k)
	}
	before := uint64(0)
	for _, k := range keys {
		k >>= 64 - prefixBits
		dst = binary.AppendUvarint(dst, k-before)
		before = k
	}
	b = dst[first:]
	binary.LittleEndian.PutUint32(b[filterSum:], blobFilterSum(b))
	return dst
}

func blobFilterSum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:filterSum])
	return crc32.Update(sum, castagnoli, b[filterSum+4:])
}

// parseFilter reads the blob of a filter, and aliases it. Any bytes may be
// given.
func parseFilter(b []byte) (filter, error) {
	if len(b) < filterHeader {
		return filter{}, errBlobShort
	}
	if v := b[filterVersion]; v != blobVersion {
		return filter{}, fmt.Errorf("has format %d, this program reads %d", v, blobVersion)
	}
	if binary.LittleEndian.Uint32(b[filterSum:]) != blobFilterSum(b) {
		return filter{}, errBlobSum
	}
	f := filter{
		recentBelow: binary.LittleEndian.Uint64(b[filterRecent:]), firstPiece: binary.LittleEndian.Uint64(b[filterPiece:]),
		until: int64(binary.LittleEndian.Uint64(b[filterUntil:])),
	}
	pieces, count := int(binary.LittleEndian.Uint32(b[filterPieces:])), binary.LittleEndian.Uint64(b[filterCount:])
	if b[filterKind] != blobFilter || binary.LittleEndian.Uint16(b[filterReserved:]) != 0 || binary.LittleEndian.Uint32(b[filterZero:]) != 0 ||
		count > uint64(len(b)) || pieces > len(b)/8 || filterHeader+8*pieces > len(b) || count > 0 && pieces == 0 {
		return filter{}, errBlobHeader
	}
	f.count = int(count)
	b = b[filterHeader:]
	f.firstKeys = make([]uint64, pieces)
	for i := range f.firstKeys {
		f.firstKeys[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	f.deltas = b[8*pieces:]
	return f, nil
}

// prefixes reads the prefixes of a filter in order.
type prefixes struct {
	deltas []byte
	left   int
	at     uint64
}

func (f *filter) prefixes() prefixes { return prefixes{deltas: f.deltas, left: f.count} }

// below appends the prefixes, as the highest bits of keys, that are less than
// a bound, each with the low bits given.
func (p *prefixes) below(dst []uint64, bound uint64, low uint64) ([]uint64, error) {
	for p.left > 0 {
		v, n := binary.Uvarint(p.deltas)
		if n <= 0 || v > 1<<prefixBits-1-p.at {
			return dst, errBlobPrefixes
		}
		key := (p.at + v) << (64 - prefixBits)
		if bound != 0 && key >= bound {
			return dst, nil
		}
		p.at += v
		p.deltas = p.deltas[n:]
		p.left--
		dst = append(dst, key|low)
	}
	if len(p.deltas) > 0 {
		return dst, errBlobLength
	}
	return dst, nil
}
