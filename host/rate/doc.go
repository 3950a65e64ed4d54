// Package rate prices usage events: it finds the subscriptions that an event
// falls under, and has each tariff's plugin fold the event into its slot.
//
//	[]ingest.Event ──route──▶ hits (event × slot) ──price──▶ Outcome{Slots, Rejected}
//	                  │ meter, subscription,         │ one Wasm call per module
//	                  │ version, period, group       │ and dimension list
//	               catalog                        plugins
//
// A slot is the unit of pricing: one subscription, tariff version, billing
// period and group combination of one account. Its state and its lines go into
// the plugin with the new events and come out replaced; slots are immutable
// values, so a batch that fails leaves nothing behind.
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
