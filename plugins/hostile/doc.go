// Package hostile is a corpus of modules that mean harm, and the proof that they do none.
//
// Each case is a module with a name, what it tries, and how that must end: it is refused when it is loaded or
// configured, the event at which it misbehaves is rejected with a reason, or the attempt comes to nothing. [Run]
// holds all of them against a runtime, one after the other, while another tariff is at work beside them: its results
// must not change, the memory of the process must stay within bounds, a call must end in time, and events before and
// after the attempt must be priced exactly.
//
// Modules are written by the assembler of the tests, except for some that are compiled from Go: the standard
// library's runtime does much that a tariff may not, and all of it must be harmless.
package hostile
