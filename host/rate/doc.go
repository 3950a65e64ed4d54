// Package rate prices usage events: it finds the subscriptions that an event
// falls under, and has each tariff's plugin fold the event into its slot.
//
//	[]ingest.Event ──route──▶ hits (event × slot) ──price──▶ Outcome{Changes, Rejected}
//	                  │ meter, subscription,         │ one Wasm call per module
//	                  │ version, period, group       │ and dimension list
//	               catalog                        plugins
//
// A slot is the unit of pricing: one subscription, tariff version, billing
// period and group combination of one account. Its state and its lines go into
// the plugin with the new events and come out replaced. The book that keeps the
// slots changes them when the batch is over, by what the outcome says, so a batch
// that fails leaves nothing behind.
//
// An account remembers which slot took its last event of a type, where none can
// meet two: most events find theirs by that (route.go). A batch looks at all of
// them beforehand, so that the latencies of memory overlap.
//
// An event is priced by all the subscriptions that it matches or by none. The
// outcome equals that of pricing the events one at a time in log order,
// whatever the size of the batch: where one subscription rejects an event that
// another took, the slots that such events tie together are priced again event
// by event.
//
// A Rater belongs to one partition's goroutine. It keeps plugin instances as
// caches; they can be dropped at any time without changing a result.
package rate
