// Package serving measures what people who look at figures wait for while usage
// flows: from accepted to a watching client, and for the subtotals of an account,
// over real connections to a server with a host in the same process.
//
//	senders ──events/s──▶ host ──▶ rpc server ──HTTP/1.1──▶ watches, probes, readers
//
// Then the month is closed, and `tollway invoices export` exports it in a process of
// its own.
//
// Both ends of every connection are in the process, so what is printed of memory is
// of both, and the processors are shared by all: the figures are upper bounds.
package serving
