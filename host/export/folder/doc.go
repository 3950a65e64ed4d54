// Package folder makes, continues and checks folders of exported invoices.
//
//	chunks of an export ──Append──▶ .unfinished/spool.jsonl, journal   (cut anywhere, goes on)
//	                                        │ Finish
//	                                        ▼
//	                     the files of a format, renamed into place, manifest.json last
//
// The engine sends invoices as they were issued, whatever the format, and this
// package writes the formats. So an export that was cut needs to go on in one
// place only, the spool, and the files of any format are made from a whole spool,
// in one pass, the same bytes every time.
//
// A folder without manifest.json is not finished. With one, it is checked against
// itself by [Verify] and against the engine by [Compare].
//
// The package keeps files and nothing else: no clock, no network. An [Export]
// belongs to one goroutine.
package folder
