// Package catalog holds what is sold and to whom: meters, tariffs with their
// versions, accounts with their subscriptions, and the billing settings.
//
//	files ──Parse──▶ Catalog ──Merge──▶ Catalog ──Resolve──▶ Catalog, ready to rate by
//	(YAML, JSON)     per object         onto the             references, plugins,
//	                 checked            one in force         parameters, indexes
//
//	stream CATALOG ◀──Objects/Diff── Catalog ◀──FromObjects/Update── stream CATALOG
//
// It owns the syntax and the meaning of catalog files, the canonical form in
// which objects are stored, and the comparison of two catalogs: from which
// event time on a change would price usage differently. It does not own
// plugins: it asks a [Resolver] whether they exist and take their parameters.
//
// Every problem names its file, line and path, and all of them are reported at
// once: a catalog is applied as a whole or not at all.
//
// # Concurrency
//
// A Catalog that is being parsed or resolved belongs to one goroutine. After
// [Catalog.Resolve] found no problem, and from [FromObjects] and
// [Catalog.Update], it never changes again and may be read by any number of
// goroutines. Catalogs share objects with the ones that they were merged from,
// so objects must not be changed either.
//
// # Costs
//
// With n objects, m meters of an event's type and s subscriptions of an
// account: [Catalog.MetersOf] and [Catalog.Calendar] are one map access,
// [Meter.Matches] is proportional to the filter's keys times the event's
// fields, [Catalog.Bindings] is one map access and a binary search over s,
// [Tariff.VersionAt] a binary search over the versions. None of them allocates.
// Parse, Resolve, Objects and Digest are proportional to n.
package catalog
