package rpc

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"

	"github.com/tollway/tollway/host/query"
)

// Tokens are opaque texts that a caller hands back: base64url without padding
// of
//
//	offset  size  field
//	0       1     kind
//	1       n     contents
//	1+n     4     CRC-32C of everything before, little endian
//
// They are checked strictly, so that a damaged one is an error and never a
// wrong answer. They need no signature: a forged one asks for nothing that its
// caller could not ask for in plain words.
const (
	kindPage     byte = 1 // contents: 8 bytes of request digest, then the engine's token
	kindPosition byte = 2 // contents: pairs of uvarints, partition and sequence, ascending
)

// Limits of tokens.
const (
	tokenCharsMax     = 64 << 10
	tokenDigestLen    = 8
	tokenSumLen       = 4
	tokenPartitionMax = 1 << 16
)

var errToken = errors.New("damaged or not made by this server")

// seal makes a token.
func seal(kind byte, contents []byte) string {
	raw := append(append(make([]byte, 0, 1+len(contents)+tokenSumLen), kind), contents...)
	raw = binary.LittleEndian.AppendUint32(raw, crc32.Checksum(raw, crc32.MakeTable(crc32.Castagnoli)))
	return base64.RawURLEncoding.EncodeToString(raw)
}

// unseal is the inverse of seal.
func unseal(kind byte, token string) ([]byte, error) {
	if len(token) > tokenCharsMax {
		return nil, errToken
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < 1+tokenSumLen || raw[0] != kind {
		return nil, errToken
	}
	body, sum := raw[:len(raw)-tokenSumLen], raw[len(raw)-tokenSumLen:]
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(sum) {
		return nil, errToken
	}
	return body[1:], nil
}

// pager turns the engine's page tokens into the ones that callers see, which
// hold for one request only: the method and its filter go into a digest.
type pager struct {
	digest [tokenDigestLen]byte
}

// newPager names the method and the filter fields that a page token belongs to.
func newPager(method string, filter ...string) pager {
	h := sha256.New()
	for _, part := range append([]string{method}, filter...) {
		var length [8]byte
		binary.LittleEndian.PutUint64(length[:], uint64(len(part)))
		// A hash never fails to write.
		_, _ = h.Write(length[:])
		_, _ = h.Write([]byte(part))
	}
	var p pager
	copy(p.digest[:], h.Sum(nil))
	return p
}

// page reads a request's size and token.
func (p pager) page(size uint32, token string) (query.Page, error) {
	page := query.Page{Size: query.DefaultPageSize}
	if size > 0 {
		page.Size = int(min(size, query.MaxPageSize))
	}
	if token == "" {
		return page, nil
	}
	contents, err := unseal(kindPage, token)
	if err != nil || len(contents) <= tokenDigestLen {
		return query.Page{}, refuse(ReasonInvalidPageToken, "leave it out to begin from the start", "the page token is %v", errToken)
	}
	if !slices.Equal(contents[:tokenDigestLen], p.digest[:]) {
		return query.Page{}, refuse(ReasonInvalidPageToken,
			"repeat the fields of the request that gave the token, or leave it out to begin from the start",
			"the page token belongs to another request")
	}
	page.Token = string(contents[tokenDigestLen:])
	return page, nil
}

// next is the token for the page behind, empty when there is none.
func (p pager) next(token string) string {
	if token == "" {
		return ""
	}
	return seal(kindPage, append(p.digest[:], token...))
}

// positionToken writes positions as one token; of several in a partition the
// last one counts. No positions: the empty text.
func positionToken(positions []query.Position) string {
	highest := highestByPartition(positions)
	if len(highest) == 0 {
		return ""
	}
	var contents []byte
	for _, p := range highest {
		contents = binary.AppendUvarint(contents, uint64(p.Partition))
		contents = binary.AppendUvarint(contents, p.Sequence)
	}
	return seal(kindPosition, contents)
}

// parsePositionToken is the inverse of positionToken. Streams have no name in a
// token: the partition tells.
func parsePositionToken(token string) ([]query.Position, error) {
	contents, err := unseal(kindPosition, token)
	if err != nil {
		return nil, err
	}
	var positions []query.Position
	for len(contents) > 0 {
		partition, n := binary.Uvarint(contents)
		if n <= 0 || partition >= tokenPartitionMax {
			return nil, errToken
		}
		sequence, m := binary.Uvarint(contents[n:])
		if m <= 0 {
			return nil, errToken
		}
		contents = contents[n+m:]
		positions = append(positions, query.Position{Partition: int(partition), Sequence: sequence})
	}
	// There is one token for a vector: ascending, each partition once.
	if positionToken(positions) != token {
		return nil, errToken
	}
	return positions, nil
}

// highestByPartition keeps the last position of each partition, by partition.
func highestByPartition(positions []query.Position) []query.Position {
	ascending := true
	for i := 1; i < len(positions); i++ {
		ascending = ascending && positions[i-1].Partition < positions[i].Partition
	}
	if ascending { // as an as_of has them
		return positions
	}
	sorted := slices.Clone(positions)
	slices.SortFunc(sorted, func(a, b query.Position) int {
		if a.Partition != b.Partition {
			return a.Partition - b.Partition
		}
		// Highest first, so that compacting keeps it.
		switch {
		case a.Sequence > b.Sequence:
			return -1
		case a.Sequence < b.Sequence:
			return 1
		}
		return 0
	})
	return slices.CompactFunc(sorted, func(a, b query.Position) bool { return a.Partition == b.Partition })
}
