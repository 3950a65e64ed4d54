package identity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"slices"
	"sort"

	"github.com/tollway/tollway/host/ingest"
)

// The kinds of blobs.
const (
	blobRecent = 1 // records of one checkpoint, in any order, in one page
	blobPiece  = 2 // a piece of a run: records in the order of their keys, in pages
	blobFilter = 3 // a run's filter, which makes the run count
)

// blobVersion is the version of the blobs' bytes.
const blobVersion = 1

// Offsets in a blob of records; integers are little endian. Behind the header
// stand the different ends of billing periods, the first key of every page, and
// the pages.
const (
	recordsVersion       = 0
	recordsKind          = 1
	recordsPositionWidth = 2 // bytes of a position, 0 to 8
	recordsUntilWidth    = 3 // bytes of an index of an end, 0 to 4
	recordsCount         = 4
	recordsBase          = 8 // lowest position
	recordsEnds          = 16
	recordsPage          = 20 // records of a page; the last one may have fewer
	recordsReserved      = 24
	recordsSum           = 28 // CRC32C of all that is before the pages, itself left out
	recordsHeader        = 32
)

// pageOverhead is what a page has besides its records: their CRC32C. The records
// are in columns: identities, content hashes, positions less the base, indexes
// of ends.
const pageOverhead = 4

// Reasons for which a blob is refused.
var (
	errBlobShort  = errors.New("is shorter than its header says")
	errBlobLength = errors.New("has another length than its header says")
	errBlobHeader = errors.New("has a header that contradicts itself")
	errBlobSum    = errors.New("has a sum that does not match its bytes")
	errBlobEnd    = errors.New("names an end of a period that it does not have")
)

// ErrCorrupt is wrapped by every error that says that what the checkpoint holds
// cannot be true.
var ErrCorrupt = errors.New("identities are damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ends collects the different ends of billing periods of a blob. There are
// few.
type ends struct {
	list  []int64
	index map[int64]uint32 // of the list, once it is long
}

func (e *ends) reset() {
	e.list = e.list[:0]
	clear(e.index)
}

// endsScanMax is the length up to which the list is searched from its end.
const endsScanMax = 16

// of returns the index of an end, and adds it.
func (e *ends) of(until int64) uint32 {
	n := len(e.list)
	for i := n - 1; i >= max(0, n-endsScanMax); i-- {
		if e.list[i] == until {
			return uint32(i)
		}
	}
	if n >= endsScanMax {
		if len(e.index) == 0 {
			e.index = make(map[int64]uint32, 2*n)
			for i, u := range e.list {
				e.index[u] = uint32(i)
			}
		}
		if i, ok := e.index[until]; ok {
			return i
		}
		e.index[until] = uint32(n)
	}
	e.list = append(e.list, until)
	return uint32(n)
}

// encoder makes blobs of records. Its memory is used again and again.
type encoder struct {
	ends    ends
	indexes []uint32
}

// width returns the bytes that a number takes.
func width(v uint64) int { return (bits.Len64(v) + 7) / 8 }

// append appends the blob of records, so many of them a page.
func (c *encoder) append(dst []byte, kind byte, list []record, page int) []byte {
	c.ends.reset()
	c.indexes = c.indexes[:0]
	n := len(list)
	base, most := ^uint64(0), uint64(0)
	for i := range list {
		r := &list[i]
		base, most = min(base, r.Position), max(most, r.Position)
		c.indexes = append(c.indexes, c.ends.of(r.until))
	}
	if n == 0 {
		base = 0
	}
	l := layout{count: n, page: page, ends: len(c.ends.list), positionWidth: width(most - base)}
	if l.ends > 1 {
		l.untilWidth = width(uint64(l.ends - 1))
	}
	first := len(dst)
	dst = grow(dst, l.size())
	b := dst[first:]
	b[recordsVersion], b[recordsKind] = blobVersion, kind
	b[recordsPositionWidth], b[recordsUntilWidth] = byte(l.positionWidth), byte(l.untilWidth)
	binary.LittleEndian.PutUint32(b[recordsCount:], uint32(n))
	binary.LittleEndian.PutUint64(b[recordsBase:], base)
	binary.LittleEndian.PutUint32(b[recordsEnds:], uint32(l.ends))
	binary.LittleEndian.PutUint32(b[recordsPage:], uint32(page))
	binary.LittleEndian.PutUint32(b[recordsReserved:], 0)
	for i, u := range c.ends.list {
		binary.LittleEndian.PutUint64(b[recordsHeader+8*i:], uint64(u))
	}
	directory := b[recordsHeader+8*l.ends:]
	for p := range l.pages() {
		from, to := l.pageAt(p)
		binary.LittleEndian.PutUint64(directory[8*p:], keyOf(&list[p*page].id))
		c.page(b[from:to], l, p*page, base, list)
	}
	binary.LittleEndian.PutUint32(b[recordsSum:], headerSum(b[:l.head()]))
	return dst
}

// page fills a page with the records from first on.
func (c *encoder) page(b []byte, l layout, first int, base uint64, list []record) {
	n := (len(b) - pageOverhead) / l.recordBytes()
	ids, contents, positions, untils := l.columns(b, n)
	list = list[first : first+n]
	for i := range list {
		*(*ingest.Hash)(ids[16*i:]) = list[i].id
		*(*ingest.Hash)(contents[16*i:]) = list[i].Content
	}
	for i := range list {
		putNumber(positions[l.positionWidth*i:], l.positionWidth, list[i].Position-base)
	}
	if l.untilWidth > 0 {
		for i, end := range c.indexes[first : first+n] {
			putNumber(untils[l.untilWidth*i:], l.untilWidth, uint64(end))
		}
	}
	sum := crc32.Checksum(b[:len(b)-pageOverhead], castagnoli)
	binary.LittleEndian.PutUint32(b[len(b)-pageOverhead:], sum)
}

// headerSum returns the sum of all that is before the pages.
func headerSum(head []byte) uint32 {
	sum := crc32.Update(0, castagnoli, head[:recordsSum])
	return crc32.Update(sum, castagnoli, head[recordsHeader:])
}

// grow makes a slice longer; the bytes added are for the caller to write.
func grow(b []byte, by int) []byte {
	if n := len(b) + by; n <= cap(b) {
		return b[:n]
	}
	return append(b, make([]byte, by)...)
}

// putNumber writes a number in width bytes; those behind them, which are written
// later, may change.
func putNumber(b []byte, width int, v uint64) {
	if len(b) >= 8+width { // whatever follows is not the end of the page
		binary.LittleEndian.PutUint64(b, v)
		return
	}
	for i := range width {
		b[i] = byte(v)
		v >>= 8
	}
}

func number(b []byte, width int) uint64 {
	var v uint64
	for i := width - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v
}

// layout says where things are in a blob of records.
type layout struct {
	count, page, ends         int
	positionWidth, untilWidth int
}

func (l *layout) recordBytes() int { return 32 + l.positionWidth + l.untilWidth }
func (l *layout) pages() int       { return (l.count + l.page - 1) / l.page }
func (l *layout) head() int        { return recordsHeader + 8*l.ends + 8*l.pages() }
func (l *layout) size() int        { return l.head() + l.count*l.recordBytes() + l.pages()*pageOverhead }

// pageAt returns where the p-th page begins and ends.
func (l *layout) pageAt(p int) (from, to int) {
	size := l.page*l.recordBytes() + pageOverhead
	from = l.head() + p*size
	return from, min(from+size, l.size())
}

// columns divides a page of n records.
func (l *layout) columns(b []byte, n int) (ids, contents, positions, untils []byte) {
	ids, b = b[:16*n], b[16*n:]
	contents, b = b[:16*n], b[16*n:]
	return ids, contents, b[:l.positionWidth*n], b[l.positionWidth*n : (l.positionWidth+l.untilWidth)*n]
}

// records is a blob of records whose header was checked; it aliases what it was made of.
type records struct {
	layout
	base uint64
	head []byte // all that is before the pages
	blob []byte // the whole; nil where pages are fetched
	// fetch reads a part of a blob that is not in memory.
	fetch func(from, to int) ([]byte, error)
	at    record // that visit shows
}

// parseRecords checks the header of a blob. Any bytes may be given.
func parseRecords(b []byte, kind byte) (records, error) {
	r, err := parseFixed(b, kind, len(b))
	if err != nil {
		return records{}, err
	}
	if len(b) != r.size() {
		return records{}, errBlobLength
	}
	r.blob, r.head = b, b[:r.layout.head()]
	return r, r.checkHead()
}

// headMaxBytes bounds what stands before the pages of a blob that is fetched in parts.
const headMaxBytes = 1 << 20

// fetchPiece checks the header of a piece of which first is the beginning and fetch reads
// the rest, in parts that are valid until the next one.
func fetchPiece(first []byte, fetch func(from, to int) ([]byte, error)) (records, error) {
	r, err := parseFixed(first, blobPiece, math.MaxInt)
	if err != nil {
		return records{}, err
	}
	n := r.layout.head()
	if n > headMaxBytes {
		return records{}, errBlobHeader
	}
	if n > len(first) {
		rest, err := fetch(len(first), n)
		if err != nil {
			return records{}, err
		}
		first = slices.Concat(first, rest)
	}
	r.fetch, r.head = fetch, first[:n]
	return r, r.checkHead()
}

// checkHead checks the sum of what is before the pages.
func (r *records) checkHead() error {
	if binary.LittleEndian.Uint32(r.head[recordsSum:]) != headerSum(r.head) {
		return errBlobSum
	}
	return nil
}

// parseFixed checks the part of the header that every blob has; the blob is of so many
// bytes.
func parseFixed(b []byte, kind byte, whole int) (records, error) {
	if len(b) < recordsHeader {
		return records{}, errBlobShort
	}
	if v := b[recordsVersion]; v != blobVersion {
		return records{}, fmt.Errorf("has format %d, this program reads %d", v, blobVersion)
	}
	r := records{base: binary.LittleEndian.Uint64(b[recordsBase:])}
	r.count = int(binary.LittleEndian.Uint32(b[recordsCount:]))
	r.page = int(binary.LittleEndian.Uint32(b[recordsPage:]))
	r.ends = int(binary.LittleEndian.Uint32(b[recordsEnds:]))
	r.positionWidth, r.untilWidth = int(b[recordsPositionWidth]), int(b[recordsUntilWidth])
	if b[recordsKind] != kind || r.positionWidth > 8 || r.untilWidth > 4 || binary.LittleEndian.Uint32(b[recordsReserved:]) != 0 ||
		r.page == 0 || r.count > whole/32 || r.ends > whole/8 || r.count > 0 && r.ends == 0 {
		return records{}, errBlobHeader
	}
	return r, nil
}

// first returns the key of a page's first record.
func (r *records) first(page int) uint64 {
	return binary.LittleEndian.Uint64(r.head[recordsHeader+8*r.ends+8*page:])
}

// visit calls fn with the index and a record of every record, in order, until
// it returns false. The record is valid during the call.
func (r *records) visit(page int, fn func(*record) bool) (more bool, err error) {
	b, err := r.pageBytes(page)
	if err != nil {
		return false, err
	}
	if binary.LittleEndian.Uint32(b[len(b)-pageOverhead:]) != crc32.Checksum(b[:len(b)-pageOverhead], castagnoli) {
		return false, errBlobSum
	}
	n := (len(b) - pageOverhead) / r.recordBytes()
	ids, contents, positions, untils := r.columns(b, n)
	at := &r.at
	for i := range n {
		end := int(number(untils[r.untilWidth*i:], r.untilWidth))
		if end >= r.ends {
			return false, errBlobEnd
		}
		at.id, at.Content = ingest.Hash(ids[16*i:16*i+16]), ingest.Hash(contents[16*i:16*i+16])
		at.Position = r.base + number(positions[r.positionWidth*i:], r.positionWidth)
		at.until = int64(binary.LittleEndian.Uint64(r.head[recordsHeader+8*end:]))
		if !fn(at) {
			return false, nil
		}
	}
	return true, nil
}

// pageBytes returns a page, valid until the next one.
func (r *records) pageBytes(page int) ([]byte, error) {
	from, to := r.pageAt(page)
	if r.blob != nil {
		return r.blob[from:to], nil
	}
	return r.fetch(from, to)
}

// each visits all pages.
func (r *records) each(fn func(*record)) error {
	for p := range r.pages() {
		if _, err := r.visit(p, func(at *record) bool { fn(at); return true }); err != nil {
			return err
		}
	}
	return nil
}

// find calls fn with the records whose keys are from low to high, until it
// returns false. The blob is a piece.
func (r *records) find(low, high uint64, fn func(*record) bool) error {
	pages := r.pages()
	// The page before the first that begins at low or later may have low.
	from := max(0, sort.Search(pages, func(p int) bool { return r.first(p) >= low })-1)
	for p := from; p < pages && r.first(p) <= high; p++ {
		more, err := r.visit(p, func(at *record) bool {
			key := keyOf(&at.id)
			return key < low || key <= high && fn(at)
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}
