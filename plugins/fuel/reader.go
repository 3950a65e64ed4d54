package fuel

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

var (
	errTruncated = errors.New("the module ends in the middle of a value")
	errNumber    = errors.New("a number is longer than its type allows")
)

// reader walks over bytes. The first error sticks: every later read returns zero, and the caller
// looks at err once where it matters.
type reader struct {
	data []byte
	at   int
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
		r.at = len(r.data)
	}
}

func (r *reader) failf(format string, args ...any) { r.fail(fmt.Errorf(format, args...)) }

func (r *reader) done() bool { return r.at >= len(r.data) }

func (r *reader) byte() byte {
	if r.at >= len(r.data) {
		r.fail(errTruncated)
		return 0
	}
	b := r.data[r.at]
	r.at++
	return b
}

func (r *reader) skip(n int) {
	if n < 0 || n > len(r.data)-r.at {
		r.fail(errTruncated)
		return
	}
	r.at += n
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.data)-r.at) {
		r.fail(errTruncated)
		return nil
	}
	b := r.data[r.at : r.at+int(n) : r.at+int(n)]
	r.at += int(n)
	return b
}

// u32 reads an unsigned LEB128 number of at most 32 bits.
func (r *reader) u32() uint32 {
	// Most numbers in a module are indices below 128.
	if r.at < len(r.data) && r.data[r.at] < 0x80 {
		b := r.data[r.at]
		r.at++
		return uint32(b)
	}
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if v > math.MaxUint32 {
				break
			}
			return uint32(v)
		}
	}
	r.fail(errNumber)
	return 0
}

// sleb reads a signed LEB128 number of at most the given bits (32, 33 or 64).
func (r *reader) sleb(bits int) int64 {
	var v int64
	for shift := 0; shift < bits; shift += 7 {
		b := r.byte()
		v |= int64(b&0x7f) << shift
		if b >= 0x80 {
			continue
		}
		if left := bits - shift; left < 7 {
			// The unused high bits of the last byte must repeat the sign.
			sign := int8(b<<1) >> left
			if sign != 0 && sign != -1 {
				break
			}
		}
		if used := shift + 7; used < 64 && b&0x40 != 0 {
			v |= -1 << used
		}
		return v
	}
	r.fail(errNumber)
	return 0
}

// name reads a length-prefixed UTF-8 string.
func (r *reader) name() string {
	n := r.u32()
	if n > NameBytesMax {
		r.failf("a name is %d bytes long, the limit is %d", n, NameBytesMax)
		return ""
	}
	b := r.bytes(n)
	if !utf8.Valid(b) {
		r.failf("a name is not valid UTF-8")
		return ""
	}
	return string(b)
}

// count reads the length of a vector whose elements take at least one byte each, so a length
// that the bytes left cannot hold is refused before anything is allocated for it.
func (r *reader) count(what string, limit int) int {
	n := r.u32()
	if r.err != nil {
		return 0
	}
	if uint64(n) > uint64(limit) {
		r.failf("%d %s, the limit is %d", n, what, limit)
		return 0
	}
	if int(n) > len(r.data)-r.at {
		r.fail(errTruncated)
		return 0
	}
	return int(n)
}
