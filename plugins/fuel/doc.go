// Package fuel rewrites a WebAssembly module so that it counts its own work.
//
// The runtime below us has no fuel, cannot stop a call that never returns, and its limits on the
// call stack differ from machine to machine. A tariff decides about money, so the same module with
// the same input must end in the same way everywhere, and must end. The rewriter puts both into
// the module itself:
//
//	fuel    every function entry and every loop head takes the instructions that can run before
//	        the next head from the global __fuel, and traps when there are not enough
//	depth   every function that calls others takes its share from the global __depth while it
//	        runs, and traps when there is none
//	units   the import that announces a unit of work (begin) becomes a function of the module: it
//	        checks the order of the units, notes the current one in __cursor, and fills __fuel
//	        up from the pool of the call; another (begin_many) does so for several at once, which
//	        share the fuel of one
//	memory  the memory is declared at its full size; memory.size and memory.grow work on the
//	        global __pages, so that growth is a number that can be taken back
//	state   every mutable global is exported, so that a host can save and restore all of them
//
// What a module costs is a static property of its bytes: no clock and no counter of the machine is
// involved, hence the same trap at the same instruction on any host.
//
// # What is refused
//
// A module is refused, with a sentence that names the cause, when it could keep state that a host
// cannot restore (table.set and its kin, data.drop, elem.drop, mutable globals of reference or
// vector type), when it would run before a host has given it fuel (a start section), when it uses
// a proposal outside WebAssembly 2.0 (threads, tail calls, exceptions, 64-bit or several memories,
// relaxed SIMD), when an opcode is not known, and when it exceeds one of the limits of this
// package.
//
// # What is promised
//
// Rewriting is a function of the bytes and of [Options]: the same input gives the same output. An
// invalid module stays invalid: the rewriter does not check types, but it checks every index, so
// that a module cannot reach what the rewriter adds, and what it inserts leaves the operand stack
// as it was. One thing differs for the code inside: an access behind the current size of the
// memory, but below the declared maximum, reads zeros or writes instead of trapping.
package fuel
