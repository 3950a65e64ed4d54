package identity

import (
	"encoding/binary"
	"math/bits"

	"github.com/tollway/tollway/host/ingest"
)

// Seen is what is remembered of an event that was priced.
type Seen struct {
	Content  ingest.Hash
	Position uint64 // stream sequence of the message that carried it
}

// record is an identity with what is remembered of it.
type record struct {
	id ingest.Hash
	Seen
	until int64 // end of its billing period, unix ns
}

const recordBytes = 16 + 16 + 8 + 8

// The constants of keyOf: digits of pi. What is stored depends on them, so they
// never change.
const (
	keyLow  = 0x243f6a8885a308d3
	keyHigh = 0x13198a2e03707344
)

// keyOf spreads an identity over 64 bits, by which everything here is ordered
// and found. Identities are hashes already; the multiplication sees to it that
// no part of the key hangs on how they were made.
func keyOf(id *ingest.Hash) uint64 {
	high, low := bits.Mul64(binary.LittleEndian.Uint64(id[:8])^keyLow, binary.LittleEndian.Uint64(id[8:])^keyHigh)
	return high ^ low
}
