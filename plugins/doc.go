// Package plugins runs tariffs: it loads WebAssembly modules, checks and compiles them, and calls
// them with batches of events. It is the only package that knows the runtime below, wazero.
//
//	bytes ──Load──▶ Module ──NewInstance──▶ Instance ──Configure──▶ Plans
//	                                            │
//	             Batch (slots, events) ──Price──┴──▶ slots replaced, rejects
//
// A [Runtime] keeps what modules share: the compiled code, also on disk. A [Module] is a checked
// and compiled plugin, known by the sha256 of its bytes. An [Instance] is one memory and belongs to
// one goroutine; it is a cache, and may be dropped at any time.
//
// # What a plugin can see and do
//
// Nothing but the arena it is given: its imports are held against a list, its clock stands still,
// its random numbers come from a fixed seed, it has no files and no arguments. It counts its own
// work (see [github.com/tollway/tollway/plugins/fuel]), so it cannot run for ever, nest without
// end, or grow beyond its memory. Memory and globals are put back to where they were after
// configuration before every single call, so a result is a function of the plugin's bytes, its
// parameters and the batch, never of what an instance did before.
//
// # What happens when a plugin fails
//
// An event that the tariff rejects, and an event on which it traps when priced alone, come back as
// [Reject]: the rest of the batch stands. What cannot be laid at the door of one event (the finish
// of a period, an answer that breaks the rules of the ABI) is a [FaultError], and nothing of the
// batch counts. How a batch is cut into calls is decided here and changes no result.
package plugins
