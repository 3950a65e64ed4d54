// Package vectors prices cases whose amounts are known from elsewhere with
// tariff plugins, in WebAssembly as the engine does, and compares.
//
// A file of cases has one JSON object a line:
//
//	{"id", "model", "currency", "params", "events": [{"quantity", "amount"?, "time"?, "attributes"?}], "expected": {…}, …}
//
// All numbers are decimal strings. What is asserted is what expected has:
// amount (the total), units, cumulative (the total after each event), per_event
// (by how much each event raised it), and lines (by tier, or by group).
//
// Whether a case can be priced is decided by its model and its parameters
// alone: a model that no plugin has, or a parameter of a capability that tariffs
// do not have by themselves (commitments, billing runs before the end of the
// period, …), makes it unsupported.
package vectors
