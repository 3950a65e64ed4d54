// Package checkpoint keeps the state of partitions on disk, one atomic step
// after the other. It is the only package that names Badger.
//
// A partition owns tables (a key has its newest value), logs (entries numbered
// from 1, never changed, of which the oldest may be dropped) and a header (bytes of the caller: the position in the
// stream, counters, digests). A [Commit] changes all three at once and moves
// the partition to its next checkpoint number:
//
//	Commit ──▶ segments (packed, sorted, summed, ≤ 900 kB) ──▶ commit record
//	             one run per table or log touched               number, header,
//	                                                            list of all live runs
//
// One Badger key per changed entry would cost microseconds each; a few packed
// segments cost a few hundred nanoseconds per entry, so that a checkpoint every
// 50 ms is affordable. The price is that a table is spread over runs, which a
// goroutine of the store folds in the background: it merges neighbouring runs
// into one, newest value first, and swaps them in the commit record.
//
// # Journals
//
// State that is large and changes everywhere does not belong in a table, where
// it is sorted and merged. A journal is a log of large entries (50 kB to 800 kB)
// in the caller's own form: what a checkpoint changed, packed. The caller writes
// again what is still needed of the oldest entries, a little with each commit,
// and trims them ([Commit.Trim]); so the journal stays about as large as he
// wants it and no byte of it is sorted, merged or looked at here. A journal's
// entry has a segment of its own, which [Partition.Entry] reads alone, and of which
// [Partition.ReadAt] reads a part.
//
// # Badger and value files
//
// What makes a checkpoint count is in Badger: the commit records, the keys of segments, and
// values below 4 KiB. Larger values, which are nearly all bytes, are in files of the store's
// own, each written from front to back by plain writes, synced, and never changed; Badger has
// their places. A transaction writes its values first, waits until they are on the disk, and
// then gives Badger keys and places, in one transaction that Badger syncs: what a crash leaves
// in value files has no key, and goes. The goroutine that folds also collects: a file of which
// half is dead, or more, is emptied, and one without keys is removed once nobody reads a
// checkpoint that had some.
//
// Badger syncs for each of its transactions, so commits that come at a time share
// one. It writes through mapped files, of which the system would write megabytes for
// a changed byte: it is told which one is written, so that it takes it by the page.
//
// # Owners
//
// One goroutine owns a partition and calls [Partition.Commit]. Reads (Load,
// LogRange, LogBackward, Entry, View, ReadAt, LogFirst, LogLast, Header, Verify) may run beside it, and see one checkpoint
// each. Partitions are independent of each other. The fold goroutine is started
// by [Open], works on one (partition, table) at a time and ends in
// [Store.Close].
//
// # What a crash leaves
//
//	while large values are written         the old checkpoint; the values have no keys
//	before or while segments are written   the old checkpoint; segments are swept at open
//	before the record's transaction        the old checkpoint; segments are swept at open
//	after the record's transaction         the new checkpoint
//	while a fold merges                    the old runs; the merged run is swept at open
//	after a fold's swap                    the merged run; the old runs are swept at open
//	after a trim's transaction             the new checkpoint; large trimmed runs are swept at open
//	while the store sweeps                 the sweep starts again at the next open
//
// A run that a crash could leave behind has a doomed marker, written before or
// with its first segment and removed by the transaction that makes the run
// count. The sweep deletes what has a marker, and what no record names; it
// reads keys, of which there is one for each segment, and no segments.
//
// # What damage leaves
//
// Badger reports little of a flipped bit: it may drop acknowledged writes, stop
// an iteration early or return other bytes. So the commit record names every
// live run with its segments, entries and bytes, every segment and record
// carries a CRC32C over its key and its value, and every read checks them: what
// is missing or differs is a [CorruptError]. An older, whole checkpoint cannot
// be told from the newest by this package; the caller compares the number with
// its ledger.
//
// FORMAT.md has the byte tables.
package checkpoint
