package ingest

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"github.com/tollway/tollway/sdk/billing"
)

// Hash is a 128-bit hash made of XXH3 ones, most significant byte first. It is not a cryptographic one: the seed of the
// identity hash keeps a producer who does not know it from making two identities that collide, and the content hash needs
// no such care, since it is only ever compared within one identity.
type Hash [16]byte

// Stored hashes depend on these: they never change.
const (
	contentSeed = 0x746f6c6c776179   // sets content hashes apart from identity hashes
	sourceSeed  = 0x9e3779b97f4a7c15 // added to the decoder's seed for sources
	accountSeed = 0x3c6ef372fe94f82a // and for accounts
)

// hash fills in the event's two hashes. Both are functions of what the event says alone, whatever the format and the order in
// which it was said; strings that come again and again in a batch are hashed once for it.
//
// The identity says who tells it of whom: the sum, in each half, of the XXH3-128 of id, source and account under three
// seeds. Two identities that differ in any of them collide as two XXH3-128 do. The account is part of it because accounts are
// divided among partitions, which do not know each other's events: without it the number of partitions would decide which
// events are priced.
//
// The content is the XXH3-128 of 64-bit words: type, time, and of each field, sorted by key, its key and its text (see
// word). The account is not among them, as contents are compared within an identity.
func (d *Decoder) hash(e *Event) {
	d.putIdentity(&e.Identity, e.ID, d.sourcePart(e.Source), d.accountPart(e.Account))
	w := d.beginContent(word(e.Type), e.Time)
	for i := range e.Data {
		w.put(2+2*i, word(e.Data[i].Key))
		w.put(3+2*i, word(e.Data[i].Text))
	}
	w.putContent(&e.Content, len(e.Data))
}

// hashAll fills in the account's hash, too.
func (d *Decoder) hashAll(e *Event) {
	e.AccountHash = billing.AccountID(e.Account).TokenHash()
	d.hash(e)
}

// IdentityOf returns the identity of the event with a source and id of an account.
func (d *Decoder) IdentityOf(source, id, account string) (h Hash) {
	d.putIdentity(&h, id, d.sourcePart(source), d.accountPart(account))
	return h
}

func (d *Decoder) putIdentity(h *Hash, id string, source, account xxh3.Uint128) {
	sum := xxh3.HashString128Seed(id, d.seed)
	h.put(sum.Hi+source.Hi+account.Hi, sum.Lo+source.Lo+account.Lo)
}

// put writes a hash where it is to be. Returned, its halves would be written and then
// copied together, for which the processor waits until all stores before are done.
func (h *Hash) put(high, low uint64) {
	binary.BigEndian.PutUint64(h[:8], high)
	binary.BigEndian.PutUint64(h[8:], low)
}

func (d *Decoder) sourcePart(source string) xxh3.Uint128 {
	return xxh3.HashString128Seed(source, d.seed+sourceSeed)
}

func (d *Decoder) accountPart(account string) xxh3.Uint128 {
	return xxh3.HashString128Seed(account, d.seed+accountSeed)
}

// contentWords are the words of a content hash in the making, least significant byte first.
type contentWords [8 * (2 + 2*DataFieldsMax)]byte

// beginContent returns the words with type and time in front. They are valid until the next event.
func (d *Decoder) beginContent(kind uint64, instant int64) *contentWords {
	d.words.put(0, kind)
	d.words.put(1, uint64(instant))
	return &d.words
}

func (w *contentWords) put(at int, v uint64) { binary.LittleEndian.PutUint64(w[8*at:], v) }

// putContent hashes the words of an event with the given number of fields.
func (w *contentWords) putContent(h *Hash, fields int) {
	sum := xxh3.Hash128Seed(w[:8*(2+2*fields)], contentSeed)
	h.put(sum.Hi, sum.Lo)
}

// word stands for a text in a content hash: a text of up to seven bytes as it is, its length in the highest byte, a longer
// one by its XXH3-64.
func word(text string) uint64 {
	n := len(text)
	switch {
	case n > 7:
		return xxh3.HashString(text)
	case n >= 4:
		return uint64(n)<<56 | uint64(load32(text, 0)) | uint64(load32(text, n-4))<<(8*(n-4))
	case n == 0:
		return 0
	}
	// The first, the middle and the last byte are all there are of up to three.
	return uint64(n)<<56 | uint64(text[0]) | uint64(text[n/2])<<(8*(n/2)) | uint64(text[n-1])<<(8*(n-1))
}

func load32(s string, at int) uint32 {
	s = s[at : at+4]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func load64(s string, at int) uint64 {
	s = s[at : at+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}
