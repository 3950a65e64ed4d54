package ingest

import (
	"encoding/binary"
	"math/bits"

	"github.com/zeebo/xxh3"

	"github.com/tollway/tollway/sdk/billing"
)

// Hash is a 128-bit XXH3 hash, most significant byte first. It is not a cryptographic one: the seed of the identity hash
// keeps a producer who does not know it from making two identities that collide, and the content hash needs no such care,
// since it is only ever compared within one identity.
type Hash [16]byte

// Seeds that keep the two parts of a content hash apart. Stored hashes depend on them: they never change.
const (
	contentSeed = 0x746f6c6c776179 // of type, account and time
	fieldSeed   = 0x6669656c64     // of one data field
)

// hash fills in the event's two hashes.
func (d *Decoder) hash(e *Event) {
	d.scratch = appendPrefixed(appendPrefixed(d.scratch[:0], e.Source), e.ID)
	e.Identity = hashOf(xxh3.Hash128Seed(d.scratch, d.seed))
	d.scratch, e.Content = contentHash(d.scratch, e)
}

// contentHash hashes what an event says, apart from who says it. The hashes of the fields are added up, which makes the
// sum the same in any order; keys are unique within an event, so nothing cancels out. It returns the scratch space, grown.
func contentHash(scratch []byte, e *Event) ([]byte, Hash) {
	scratch = appendPrefixed(appendPrefixed(scratch[:0], e.Type), e.Account)
	scratch = binary.LittleEndian.AppendUint64(scratch, uint64(e.Time))
	sum := xxh3.Hash128Seed(scratch, contentSeed)
	for i := range e.Data {
		scratch = appendField(scratch[:0], &e.Data[i])
		field := xxh3.Hash128Seed(scratch, fieldSeed)
		var carry uint64
		sum.Lo, carry = bits.Add64(sum.Lo, field.Lo, 0)
		sum.Hi, _ = bits.Add64(sum.Hi, field.Hi, carry)
	}
	return scratch, hashOf(sum)
}

func appendField(b []byte, f *billing.Field) []byte {
	return append(appendPrefixed(b, f.Key), f.Text...)
}

// appendPrefixed writes a string behind its length, so that no two lists of strings have the same bytes.
func appendPrefixed(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

func hashOf(h xxh3.Uint128) Hash { return h.Bytes() }
