// Package oracle is a second, naive rater, against which tests hold the engine:
//
//	log ──Replay──▶ every line of every invoice, subtotals, dead letters, counts
//
// It keeps all events in memory, goes through the log in order, groups and adds up
// in rational numbers of any size, and prices a slot from its first event anew each
// time it is asked. It has no batches, states, checkpoints, plugins or decimals, and
// shares no code with the engine, so that a fault is not likely to be in both.
//
// It knows a part of the models (see price) and the catalog's members that these
// need; its types, written as JSON, are a catalog for the engine too. The rater is
// rate.go; it looks things up in the catalog by lookup.go and prices by price.go.
package oracle
