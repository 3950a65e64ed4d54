// Package stream is the log: NATS JetStream, embedded in the process or reached
// by URL. It is the only package that names NATS; the others see messages,
// subjects and sequences.
//
//	producers ──usage.in.<token>──▶ mapping ─▶ usage.<p>.ev ──┐
//	hosts     ──────────────────────────────▶ usage.<p>.batch ┼▶ USAGE-<p> ─▶ Reader
//	hosts     ──────────────────────────────▶ usage.<p>.ctl.> ┘
//	hosts     ─▶ catalog.>  ledger.>  invoices.<p>  dead_letters.<p>  alerts.<p>  plugins.<sha256>
//
// Streams are append-only: nothing may be deleted, purged, aged out or rolled
// up, and [Conn.CheckStreams] refuses streams where that could happen. Writers
// are kept apart by expected-last-subject-sequence guards alone: whoever comes
// second gets [ErrConflict] or [ErrFenced], whatever the clocks say.
//
// # What a crash leaves
//
//	during Publish      any of the messages; sending them again is harmless,
//	                    since an event is priced once
//	during Append       the message or not; the guard makes a second try exact
//	during a batch      all of its messages or none
//	during EnsureStreams  the first few streams; LEDGER is made last and says
//	                    that the set is complete
//	of the server       what it has acknowledged, as far as it syncs (the
//	                    embedded one does so before it acknowledges); a log that
//	                    has lost its tail is noticed by the Reader
//
// # Errors
//
// [ErrUnavailable] means try again: the server is away, restarting or slow, and
// what was being written may or may not be there. All others stop whoever gets
// them.
package stream
