// Package trial measures the engine as a whole, beside what people would use
// instead of it. It is what `tollway bench pipeline`, `latency`, `growth` and
// `recovery` run.
//
//	parent ──starts──▶ server      the log, in a process of its own
//	   │    ──starts──▶ host        the real host, on it or with it inside
//	   │    ──starts──▶ read        the same streams, read and dropped
//	   │    ──starts──▶ map         plain Go maps doing the same sums
//	   └────starts──▶ postgres    a private cluster, and who loads it
//
// Everything that is measured runs in a process of its own: memory, bytes
// written and allocations are then those of one thing alone, and a kill -9 is a
// real one. The parent sends a job as a line of JSON on a process's standard
// input, which ends it when it is closed, and reads what became of it on its
// standard output.
//
// The log is filled once and each round works through it again from an empty
// data directory, so that the figures of one round stand beside each other:
// machines and hours differ, ratios hardly do. A round in which one account's
// total differs from its known sum (see host/internal/cloud) is an error,
// whatever its speed.
package trial
