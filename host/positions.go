package host

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/rate"
)

// positions is the index by which an account's events are found in the log again.
// It is coarse: it knows of stretches of the log, blocks, in which billing periods
// and for which accounts they may have had events that were priced. So the events
// of an account are read again without reading the whole partition, and an event
// costs the index a bit.
//
// A block ends behind blockEvents events and is an entry of the checkpoint's index
// log:
//
//	version  1 byte
//	kind     1 byte: 0 any account and period, 1 list, 2 bitmap
//	first    8 bytes, little endian, as all: the first position
//	last     8 bytes: the last position
//	from     8 bytes: start of the earliest of the periods, unix ns
//	until    8 bytes: end of the latest of them
//	places   of accounts: 2 bytes each (list), or one bit each (bitmap)
//
// Which blocks there are hangs on when the host was restarted, since a block that
// was not full then becomes one of kind 0. Reading more than is needed changes no
// figure.
type positions struct {
	bits        []uint64 // by place
	events      int
	first, last uint64
	from, until int64
}

const (
	blockEvents  = 8_192
	blockPlaces  = 1 << 16
	blockVersion = 1
	blockHead    = 2 + 4*8

	blockAny    byte = 0
	blockList   byte = 1
	blockBitmap byte = 2
)

// errBlock reports an entry of the index that this program did not write.
var errBlock = errors.New("host: malformed index of positions")

// accountPlace is where an account's bit is, by the hash of the account.
func accountPlace(hash uint32) uint16 { return uint16(hash ^ hash>>16) }

// note records which slots took events of the messages from first to last.
func (x *positions) note(first, last uint64, changes []rate.Change) {
	if len(changes) == 0 {
		return
	}
	if x.bits == nil {
		x.bits = make([]uint64, blockPlaces/64)
	}
	if x.events == 0 {
		x.first, x.from, x.until = first, rate.Forever, rate.Beginning
	}
	x.first, x.last = min(x.first, first), last
	var terms *rate.Terms
	for i := range changes {
		c := &changes[i]
		place := accountPlace(c.AccountHash)
		x.bits[place/64] |= 1 << (place % 64)
		x.events += int(c.Events)
		if c.Terms != terms {
			terms = c.Terms
			x.from, x.until = min(x.from, terms.Period), max(x.until, terms.PeriodEnd)
		}
	}
}

// full reports whether the block has its events.
func (x *positions) full() bool { return x.events >= blockEvents }

// cut returns the block as an entry of the index, and begins the next.
func (x *positions) cut() []byte {
	set := 0
	for _, word := range x.bits {
		set += bits.OnesCount64(word)
	}
	var b []byte
	if set*2 < blockPlaces/8 {
		b = appendBlockHead(b, blockList, x.first, x.last, x.from, x.until)
		for i, word := range x.bits {
			for ; word != 0; word &= word - 1 {
				b = binary.LittleEndian.AppendUint16(b, uint16(i*64+bits.TrailingZeros64(word)))
			}
		}
	} else {
		b = appendBlockHead(b, blockBitmap, x.first, x.last, x.from, x.until)
		for _, word := range x.bits {
			b = binary.LittleEndian.AppendUint64(b, word)
		}
	}
	clear(x.bits)
	x.events = 0
	return b
}

func appendBlockHead(b []byte, kind byte, first, last uint64, from, until int64) []byte {
	b = append(b, blockVersion, kind)
	for _, v := range [...]uint64{first, last, uint64(from), uint64(until)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// span is a stretch of the log, both ends included.
type span struct{ first, last uint64 }

// places is a set of places of accounts.
type places [blockPlaces / 64]uint64

func (s *places) add(p uint16) { s[p/64] |= 1 << (p % 64) }

func (s *places) has(p uint16) bool { return s[p/64]>>(p%64)&1 != 0 }

// sought is what is looked for in the index.
type sought struct {
	places      places
	from, until int64 // of the billing period, unix ns
}

// read returns the stretch of a block, and whether it may have what is sought.
func (s *sought) read(b []byte) (span, bool, error) {
	if len(b) < blockHead || b[0] != blockVersion || b[1] > blockBitmap {
		return span{}, false, errBlock
	}
	at := func(n int) uint64 { return binary.LittleEndian.Uint64(b[2+8*n:]) }
	stretch := span{at(0), at(1)}
	if b[1] == blockAny {
		return stretch, true, nil
	}
	if from, until := int64(at(2)), int64(at(3)); s.until <= from || s.from >= until {
		return stretch, false, nil
	}
	block := b[blockHead:]
	if b[1] == blockBitmap {
		if len(block) != blockPlaces/8 {
			return stretch, false, errBlock
		}
		for i, word := range &s.places {
			if word&binary.LittleEndian.Uint64(block[8*i:]) != 0 {
				return stretch, true, nil
			}
		}
		return stretch, false, nil
	}
	for ; len(block) >= 2; block = block[2:] {
		if s.places.has(binary.LittleEndian.Uint16(block)) {
			return stretch, true, nil
		}
	}
	return stretch, false, nil
}

// blocksAtOnce are the entries of the index that are read with one call.
const blocksAtOnce = 256

// find returns the stretches of the log up to a position that may have what is
// sought, in order and apart.
func (p *partition) find(s *sought, upTo uint64) ([]span, error) {
	if p.trial != nil {
		return p.trial.find(s, upTo)
	}
	return p.positions.find(p.store, p.state.Uncommitted(accumulate.LogIndex), nil, s, upTo)
}

// find does that with the entries of the index that are not stored yet, and with
// stretches that may have anything.
func (x *positions) find(store PartitionStore, unstored [][]byte, spans []span, s *sought, upTo uint64) ([]span, error) {
	take := func(b []byte) error {
		stretch, may, err := s.read(b)
		if err == nil && may {
			spans = append(spans, stretch)
		}
		return err
	}
	// What becomes durable meanwhile is in both.
	for _, b := range unstored {
		if err := take(b); err != nil {
			return nil, err
		}
	}
	for n, last := max(1, store.LogFirst(accumulate.LogIndex)), store.LogLast(accumulate.LogIndex); n <= last; n += blocksAtOnce {
		if err := store.LogRange(accumulate.LogIndex, n, blocksAtOnce, func(_ uint64, b []byte) error { return take(b) }); err != nil {
			return nil, fmt.Errorf("host: index of positions: %w", err)
		}
	}
	if x.events > 0 {
		spans = append(spans, span{x.first, x.last})
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.last, b.last)) })
	var apart []span
	for _, p := range spans {
		if p.last = min(p.last, upTo); p.first > p.last {
			continue
		}
		if n := len(apart); n > 0 && p.first <= apart[n-1].last+1 {
			apart[n-1].last = max(apart[n-1].last, p.last)
			continue
		}
		apart = append(apart, p)
	}
	return apart, nil
}

// resume puts a block of kind 0 in place of what a restart has lost: what stands
// between the last block and the checkpoint.
func (x *positions) resume(store PartitionStore, state *accumulate.State, position uint64) error {
	first := uint64(1)
	if n := store.LogLast(accumulate.LogIndex); n > 0 {
		err := store.LogRange(accumulate.LogIndex, n, 1, func(_ uint64, b []byte) error {
			stretch, _, err := new(sought).read(b)
			first = stretch.last // the message at the end of a block may have had more events
			return err
		})
		if err != nil {
			return fmt.Errorf("host: index of positions: %w", err)
		}
	}
	if first <= position && position > 0 {
		state.AddBlock(appendBlockHead(nil, blockAny, first, position, 0, 0))
	}
	return nil
}
