// Package query answers questions about the committed state: subtotals of an
// account, pages over all accounts, and a watch that follows each checkpoint.
//
//	accumulate.State (one per partition, committed) ──▶ query.Engine ──▶ rpc, CLI
//
// Everything it returns is a copy taken at one committed checkpoint of each
// partition; AsOf says which. It never sees a change before the checkpoint
// that carries it is durable, so a figure it returned survives any crash.
package query
