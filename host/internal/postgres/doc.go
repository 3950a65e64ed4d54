// Package postgres does the work of the engine in PostgreSQL, as somebody would
// who has a database and knows it well: to compare with, and for nothing else.
//
// A Cluster is private: made under a temporary directory, reached by a socket in
// it, started without root's rights, stopped and removed at the end. A Loader
// takes batches in one transaction each:
//
//	COPY (binary) ─▶ unlogged staging table ─▶ seen (identity as primary key)
//	                         └─ what is new ─▶ subtotals (upsert, priced) + position
//
// Batches come without repetitions of their own, which the caller drops with a
// map; that and an identity of 16 bytes instead of two texts are to PostgreSQL's
// advantage. Every subtotal has its graduated amount after each batch.
package postgres
