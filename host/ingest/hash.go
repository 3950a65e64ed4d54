package ingest

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"
)

// Hash is a 128-bit XXH3 hash, most significant byte first. It is not a cryptographic one: the seed of the identity hash
// keeps a producer who does not know it from making two identities that collide, and the content hash needs no such care,
// since it is only ever compared within one identity.
type Hash [16]byte

// contentSeed sets content hashes apart from identity hashes. Stored hashes depend on it: it never changes.
const contentSeed = 0x746f6c6c776179

// hash fills in the event's two hashes: the identity's of who says it of whom, the content's of what it says. The account is
// part of an identity because accounts are divided among partitions, which do not know each other's events: without it the
// number of partitions would decide which events are priced. Data is sorted by
// key, so that the content hash is the same in whatever order the data came. Every string stands behind its length, so that
// no two lists of strings have the same bytes.
func (d *Decoder) hash(e *Event) {
	b := appendPrefixed(appendPrefixed(appendPrefixed(d.scratch[:0], e.Source), e.ID), e.Account)
	e.Identity = xxh3.Hash128Seed(b, d.seed).Bytes()
	b = appendPrefixed(appendPrefixed(b[:0], e.Type), e.Account)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Time))
	for i := range e.Data {
		b = appendPrefixed(appendPrefixed(b, e.Data[i].Key), e.Data[i].Text)
	}
	e.Content = xxh3.Hash128Seed(b, contentSeed).Bytes()
	d.scratch = b
}

func appendPrefixed(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}
