// Package bench measures how many events a second the engine bears: stage by
// stage in memory, and as a whole from a filled stream to the last durable
// checkpoint. It is what `tollway bench` and `make bench` run.
//
//	workload ─▶ bodies ─▶ decode ─▶ rate ─▶ accumulate ─▶ checkpoint      stages, each alone
//	    │
//	    └─▶ a stream in each body format ─▶ raw read, then host.Host        pipelines, in rounds
//	    └─▶ the known sum of every account ◀── compared ── its subtotals
//
// A pipeline is the real host on an embedded server and a state store that
// syncs, in a temporary directory. Each round reads the stream once without
// doing anything and then lets a host with an empty data directory take over
// the log and work through it, so that the two rates stand beside each other:
// machines and hours differ, their ratio hardly does. A round in which one
// account's total differs from its known sum by any digit is an error, whatever
// its speed.
//
// Rates are integers, units a second; medians of the rounds, with the least and
// the most. Allocations and bytes are those of the whole process, server
// included, divided by the events.
package bench
