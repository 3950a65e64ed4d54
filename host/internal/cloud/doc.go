// Package cloud makes the usage of a cloud with very many accounts: events of
// which every total is known by construction, fast enough that making them is
// not what a benchmark measures.
//
// The i-th event is always the same, whoever makes it, in whatever format and
// however many partitions: accounts, meters and quantities are scattered by a
// hash of i, so that consecutive events have nothing in common. One in fifty is
// late (its time lies up to two days behind those around it, in the same month),
// and one in a hundred repeats an earlier event, half of these a recent one and
// half any one. Quantities are small integers and prices have four decimal
// places, so that a total is exact in 64 bits.
//
//	i ─▶ what it is about ─▶ packed batches, JSON arrays, single CloudEvents
//	          └────────────▶ Sums: what each account owes
package cloud
