// Package author is what the author of a tariff works with: cases in YAML, priced by the engine's own loader; the
// properties that every tariff must have, looked for with the cases and with events made up from them; and figures of
// time, work and memory. The command line `tollway plugin test`, `check` and `bench` print what this package finds.
//
//	cases/*.yaml ──ReadCases──▶ []*Case ──▶ Workshop.Test    what the events come to, against what is expected
//	                                    ──▶ Workshop.Check   properties; a failure is shrunk to a few events
//	                                    ──▶ Workshop.Bench   time per event, load, memory
//
// A [Workshop] holds one module, loaded as the engine loads it, and, where the tariff is a Go program, the same tariff
// running natively in a process of its own, to compare with.
package author
