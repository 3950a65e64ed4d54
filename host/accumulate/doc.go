// Package accumulate holds the state of one partition and the changes that one
// step makes to it.
//
//	rate.Outcome ─▶ Delta ──Commit()──▶ checkpoint (durable) ──Apply──▶ State ─▶ query
//	                  ▲                                               │
//	                  └────────── reads through to ───────────────────┘
//
// State is what is committed: a crash at any point leaves it as it was after
// the last durable checkpoint, and readers never see anything newer. A Delta
// collects what a step changes, answers reads as if the changes were made, and
// is either committed and applied whole or dropped.
//
// The package is pure: no clock, no I/O. It knows how state is written as table
// entries (record.go), not where they are kept.
package accumulate
