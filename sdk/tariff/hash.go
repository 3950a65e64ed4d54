package tariff

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// sha256 is FIPS 180-4, as words. The one of the standard library brings its certification along, which would be the
// larger part of most modules.
func sha256(text string) [8]uint32 {
	h := [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}
	length := uint64(len(text)) * 8
	for ; len(text) >= 64; text = text[64:] {
		sha256Block(&h, unsafe.Pointer(unsafe.StringData(text)))
	}
	var tail [128]byte
	n := copy(tail[:], text)
	tail[n] = 0x80
	end := 64
	if n >= 56 {
		end = 128
	}
	binary.BigEndian.PutUint64(tail[end-8:], length)
	sha256Block(&h, unsafe.Pointer(&tail[0]))
	if end == 128 {
		sha256Block(&h, unsafe.Pointer(&tail[64]))
	}
	return h
}

// sha256Block works 64 bytes into h.
//
// Every key that a table counts costs this, and the fuel of a loop is that of the longest way through its whole
// function in Go. So the functions that do the work have neither loops nor branches: this is a fifth of what the
// usual loops cost.
func sha256Block(h *[8]uint32, block unsafe.Pointer) {
	var w [16]uint32
	sha256Words(&w, (*[16]uint32)(block))
	v := *h
	sha256Rounds(&v, &w, (*[16]uint32)(sha256K[0:16]))
	sha256Expand(&w)
	sha256Rounds(&v, &w, (*[16]uint32)(sha256K[16:32]))
	sha256Expand(&w)
	sha256Rounds(&v, &w, (*[16]uint32)(sha256K[32:48]))
	sha256Expand(&w)
	sha256Rounds(&v, &w, (*[16]uint32)(sha256K[48:64]))
	h[0], h[1], h[2], h[3] = h[0]+v[0], h[1]+v[1], h[2]+v[2], h[3]+v[3]
	h[4], h[5], h[6], h[7] = h[4]+v[4], h[5]+v[5], h[6]+v[6], h[7]+v[7]
}

// sha256Words reads the words of a block, which are big endian.
//
//go:noinline
func sha256Words(w, block *[16]uint32) {
	w[0] = bits.ReverseBytes32(block[0])
	w[1] = bits.ReverseBytes32(block[1])
	w[2] = bits.ReverseBytes32(block[2])
	w[3] = bits.ReverseBytes32(block[3])
	w[4] = bits.ReverseBytes32(block[4])
	w[5] = bits.ReverseBytes32(block[5])
	w[6] = bits.ReverseBytes32(block[6])
	w[7] = bits.ReverseBytes32(block[7])
	w[8] = bits.ReverseBytes32(block[8])
	w[9] = bits.ReverseBytes32(block[9])
	w[10] = bits.ReverseBytes32(block[10])
	w[11] = bits.ReverseBytes32(block[11])
	w[12] = bits.ReverseBytes32(block[12])
	w[13] = bits.ReverseBytes32(block[13])
	w[14] = bits.ReverseBytes32(block[14])
	w[15] = bits.ReverseBytes32(block[15])
}

// sha256Expand replaces sixteen words of the message schedule by the sixteen that follow.
//
//go:noinline
func sha256Expand(w *[16]uint32) {
	w[0] += sha256s0(w[1]) + w[9] + sha256s1(w[14])
	w[1] += sha256s0(w[2]) + w[10] + sha256s1(w[15])
	w[2] += sha256s0(w[3]) + w[11] + sha256s1(w[0])
	w[3] += sha256s0(w[4]) + w[12] + sha256s1(w[1])
	w[4] += sha256s0(w[5]) + w[13] + sha256s1(w[2])
	w[5] += sha256s0(w[6]) + w[14] + sha256s1(w[3])
	w[6] += sha256s0(w[7]) + w[15] + sha256s1(w[4])
	w[7] += sha256s0(w[8]) + w[0] + sha256s1(w[5])
	w[8] += sha256s0(w[9]) + w[1] + sha256s1(w[6])
	w[9] += sha256s0(w[10]) + w[2] + sha256s1(w[7])
	w[10] += sha256s0(w[11]) + w[3] + sha256s1(w[8])
	w[11] += sha256s0(w[12]) + w[4] + sha256s1(w[9])
	w[12] += sha256s0(w[13]) + w[5] + sha256s1(w[10])
	w[13] += sha256s0(w[14]) + w[6] + sha256s1(w[11])
	w[14] += sha256s0(w[15]) + w[7] + sha256s1(w[12])
	w[15] += sha256s0(w[0]) + w[8] + sha256s1(w[13])
}

func sha256s0(x uint32) uint32 {
	return bits.RotateLeft32(x, -7) ^ bits.RotateLeft32(x, -18) ^ x>>3
}

func sha256s1(x uint32) uint32 {
	return bits.RotateLeft32(x, -17) ^ bits.RotateLeft32(x, -19) ^ x>>10
}

// sha256Rounds does sixteen rounds. Instead of moving the working variables, each round takes them by other names.
//
//go:noinline
func sha256Rounds(v *[8]uint32, w, k *[16]uint32) {
	a, b, c, d, e, f, g, h := v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]
	h += sha256e1(e) + (e&f ^ ^e&g) + k[0] + w[0]
	d, h = d+h, h+sha256e0(a)+(a&b^a&c^b&c)
	g += sha256e1(d) + (d&e ^ ^d&f) + k[1] + w[1]
	c, g = c+g, g+sha256e0(h)+(h&a^h&b^a&b)
	f += sha256e1(c) + (c&d ^ ^c&e) + k[2] + w[2]
	b, f = b+f, f+sha256e0(g)+(g&h^g&a^h&a)
	e += sha256e1(b) + (b&c ^ ^b&d) + k[3] + w[3]
	a, e = a+e, e+sha256e0(f)+(f&g^f&h^g&h)
	d += sha256e1(a) + (a&b ^ ^a&c) + k[4] + w[4]
	h, d = h+d, d+sha256e0(e)+(e&f^e&g^f&g)
	c += sha256e1(h) + (h&a ^ ^h&b) + k[5] + w[5]
	g, c = g+c, c+sha256e0(d)+(d&e^d&f^e&f)
	b += sha256e1(g) + (g&h ^ ^g&a) + k[6] + w[6]
	f, b = f+b, b+sha256e0(c)+(c&d^c&e^d&e)
	a += sha256e1(f) + (f&g ^ ^f&h) + k[7] + w[7]
	e, a = e+a, a+sha256e0(b)+(b&c^b&d^c&d)
	h += sha256e1(e) + (e&f ^ ^e&g) + k[8] + w[8]
	d, h = d+h, h+sha256e0(a)+(a&b^a&c^b&c)
	g += sha256e1(d) + (d&e ^ ^d&f) + k[9] + w[9]
	c, g = c+g, g+sha256e0(h)+(h&a^h&b^a&b)
	f += sha256e1(c) + (c&d ^ ^c&e) + k[10] + w[10]
	b, f = b+f, f+sha256e0(g)+(g&h^g&a^h&a)
	e += sha256e1(b) + (b&c ^ ^b&d) + k[11] + w[11]
	a, e = a+e, e+sha256e0(f)+(f&g^f&h^g&h)
	d += sha256e1(a) + (a&b ^ ^a&c) + k[12] + w[12]
	h, d = h+d, d+sha256e0(e)+(e&f^e&g^f&g)
	c += sha256e1(h) + (h&a ^ ^h&b) + k[13] + w[13]
	g, c = g+c, c+sha256e0(d)+(d&e^d&f^e&f)
	b += sha256e1(g) + (g&h ^ ^g&a) + k[14] + w[14]
	f, b = f+b, b+sha256e0(c)+(c&d^c&e^d&e)
	a += sha256e1(f) + (f&g ^ ^f&h) + k[15] + w[15]
	e, a = e+a, a+sha256e0(b)+(b&c^b&d^c&d)
	v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7] = a, b, c, d, e, f, g, h
}

func sha256e0(x uint32) uint32 {
	return bits.RotateLeft32(x, -2) ^ bits.RotateLeft32(x, -13) ^ bits.RotateLeft32(x, -22)
}

func sha256e1(x uint32) uint32 {
	return bits.RotateLeft32(x, -6) ^ bits.RotateLeft32(x, -11) ^ bits.RotateLeft32(x, -25)
}

// sha256K are the fractional parts of the cube roots of the first 64 primes.
var sha256K = [64]uint32{
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}
