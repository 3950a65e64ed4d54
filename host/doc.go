// Package host is the engine: it reads usage out of the log, has it priced,
// keeps the subtotals, and closes billing periods into invoices. The folders
// are the stages, in the order in which an event passes them:
//
//	stream ─▶ ingest ─▶ rate ─▶ accumulate ─▶ checkpoint ─▶ query, export
//	the log   decode    Wasm    fold          durable       readers
//
// catalog says what is sold and to whom, identity remembers which events were
// priced, intake writes usage that callers hand in to the log. This package joins
// the stages; the function that does it for every event is partition.fold.
//
// # Goroutines
//
// Three per partition: one reads ahead, one owns the partition's state and folds
// the log into it, one commits checkpoints (commit.go says when). One more per
// partition publishes its outbox (dead letters and invoices); one closes periods
// that are due; one watches the streams' configuration. All are started by
// Host.Run. Queries run in their callers' goroutines.
//
// # Crashes
//
//	before the checkpoint      the messages are read again, with the same outcome
//	after the checkpoint       a restart loads it and reads on behind its position
//	before something outward   the outbox publishes on from what the stream has
//	is published
//
// Nothing that decides money is anywhere but in the log and the checkpoint.
//
// None of the packages under host is a public API, except through rpc.
package host
