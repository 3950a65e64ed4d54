// Package serving measures what people who look at figures wait for while usage
// flows: from accepted to a watching client, and for the subtotals of an account.
//
//	process of the clients                      process of the server
//	usage, packed ──UsageService.IngestStream──▶ rpc ──▶ host
//	probes ─────────UsageService.Ingest────────▶
//	watches ◀───────SubtotalService.Watch──────
//	readers ◀───────SubtotalService.Get────────
//
// The clients are a process of their own, as they are elsewhere: how soon one of them
// is given a processor is then the system's to say and not the server's, and what a
// profile of the server shows is the server's. They share the machine all the same, so
// they spend as little as they can: usage is packed by a generator, and answers are
// read in full but only some of them decoded.
//
// Then the month is closed, and `tollway invoices export` exports it in a process of
// its own.
package serving
