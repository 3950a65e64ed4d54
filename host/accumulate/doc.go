// Package accumulate holds the state of one partition: its slots, as rating
// leaves them, and what a checkpoint says of the partition as a whole.
//
//	rate.Outcome ─Take─▶ slots (changed in place) ───────────────▶ query (latest)
//	                       │        │
//	                  before image  record
//	                       ▼        ▼
//	                     Generation ──Cut──▶ checkpoint ──Durable──▶ query (committed)
//
// What one checkpoint changes is a generation. While one is being committed the
// next one fills: the partition does not wait for the disk. A generation has the
// images of its slots before it changed them, by which readers see the committed
// state, and the records of what they are now, which go into the checkpoint's
// journal of slots as they are.
//
// # The journal
//
// A record says what a slot is: the full one with its names, the short one with
// its number alone. In a round each slot has a full record: the first one when it changes,
// and those that do not change in turn, some with each generation. When all have had
// theirs, what stands in the journal before that round began has been said again, and
// is trimmed. So there is
// nothing to merge, a checkpoint costs what changes in it, and the journal is no
// longer than two rounds.
//
// The package is pure: no clock, no I/O. It knows how state is written as table
// and log entries (record.go), not where they are kept.
package accumulate
