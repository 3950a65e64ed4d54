// Package identity remembers which usage events a partition has priced: for
// each identity the hash of the event's content and the position of its message.
// It answers for every event that is read, and nearly always with no; so a no
// has to be cheap in memory, and what tells a yes may stand on disk.
//
//	Add ──▶ generation ──Cut──▶ batch ──Put──▶ recent log     records of one checkpoint
//	          │ full                │
//	          └────────────────── seal ──────▶ log of pieces   records in the order of their keys
//	                                │          log of filters  prefixes of the keys
//	Committed ──▶ index ◀───────────┘
//
// Recent identities are in generations: tables of 65,536 records, made once and
// used again. One that is full is sealed: written in the order of its keys to a
// run, a few hundred kilobytes with each commit, while the recent log loses what
// the run has. Where a commit adds many identities at once, as while a partition is
// behind, they are a run from the start and never in the recent log. From then on memory has four bytes of an identity, in the index:
// a prefix of its key and the number of its run. One that is not in the index is
// new; of 100 million identities, one in 80,000 that is new finds the prefix of
// another, and is looked for on disk in vain. Every duplicate of an event that is
// not recent is looked for on disk as well, in one entry of the log of pieces.
//
// So a set takes some 10 MB and five bytes of memory an identity. It has no bound
// of its own: the horizon bounds how many identities there are.
//
// Each identity is written twice, about 72 bytes in all, or once where a commit makes a
// run of what it adds, and never again: runs are not merged, since the index knows
// which one to ask. What is rewritten, in memory only, is the index, a segment of
// some ten thousand entries every 64 Adds. There is no goroutine.
//
// # Owner
//
// A Set belongs to the goroutine of its partition. Batch.Put alone may run on
// another one: it sorts and encodes records that nobody changes any more.
//
// # What a crash leaves
//
// What was committed. A run counts from the commit with its filter on; the
// pieces of one that was not finished are ignored, and written again. Numbers of
// entries go on behind them.
//
// # Expiry
//
// Each record has the end of its billing period. What ends before the horizon is
// not known, whether it is still in memory or not: results do not hang on how
// the records came into runs. Memory and disk are freed by whole runs, once the
// last of their periods has passed. The logs are trimmed at their beginning, so a run that
// holds what is dated far ahead keeps those behind it on the disk for as long.
//
// Sums of what a checkpoint holds are apart by when it expires, so that they need not be
// read to know what is left: whoever keeps them drops those before the horizon.
//
// # Damage
//
// Blobs carry sums. A run that has nothing of what its filter says, like any
// other contradiction, is an error that wraps ErrCorrupt; it is never the answer
// that an identity is new.
package identity
