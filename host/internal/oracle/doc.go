// Package oracle is a second, naive rater, against which tests hold the engine:
//
//	log ──Replay──▶ every line of every invoice, subtotals, dead letters, counts
//
// It keeps all events in memory, goes through the log in order, and prices a period
// from its first event anew each time it is asked, in rational numbers of any size. It
// has no batches, states, checkpoints, plugins or decimals, and shares no code with the
// engine, so that a fault is not likely to be in both. What a preview, a set of usage or
// a catalog would change is no business of its own: the same replay of another log.
//
// The rater is rate.go and price.go, of at most 300 lines of code together, which a test
// counts. Beside it are what it reads, the catalog (catalog.go, lookup.go), the log
// (log.go) and a price list (params.go), and what tests compare: the lines of documents
// and of the oracle, added up (lines.go).
//
// It knows a part of the models (see price) and the catalog's members that these
// need; its types, written as JSON, are a catalog for the engine too. Of what one period or
// version leaves to the next it knows sums; not keys, whose usage may be taken back when
// they come to be too many.
package oracle
