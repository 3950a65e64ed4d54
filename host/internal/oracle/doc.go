// Package oracle is a second, naive rater, against which tests hold the engine:
//
//	catalog and events ──Rate──▶ every line of every invoice, dead letters, counts
//
// It keeps all events in memory, sorts them, groups them and adds them up in
// rational numbers of any size. It has no batches, partitions, states,
// checkpoints, plugins or decimals, and shares no code with the engine, so that a
// fault is not likely to be in both. It knows neither lateness nor closes: it
// answers what the whole log comes to, as if each period closed after the last
// event.
//
// It knows a part of the models (see price) and the catalog's members that these
// need; its types, written as JSON, are a catalog for the engine too.
package oracle
