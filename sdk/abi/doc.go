// Package abi is the contract between the engine and a tariff module, byte for byte: the names
// of exports and imports, the offsets of every field in the arena, the limits, and the helpers
// with which both sides read and write it. The prose is sdk/ABI.md; a test compares its tables
// with the constants here.
//
// The package is compiled into guests, so it stays lean: no fmt, no reflection, no JSON. Guest
// helpers trust the host, which wrote the arena; host helpers trust nothing and return an error
// for every number that does not hold ([ReadRejects], [ReadSlotOut], [Reply]).
//
// Everything here is a pure function over byte slices: safe for concurrent use as long as no two
// goroutines share an arena.
package abi
