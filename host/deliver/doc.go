// Package deliver hands issued invoices to the systems that want them: HTTP
// webhooks, a folder of files, subjects of another NATS.
//
//	INVOICES ──▶ read ──▶ lane of account A ──▶ ┐
//	                      lane of account B ──▶ ├──▶ sink ──▶ receiver
//	                      …                     ┘
//	DELIVERIES ◀── progress: what was read, and what of it is still held
//
// Each receiver, a sink, has a goroutine and a progress of its own, so one that is
// away, slow or broken holds up no other. Within a sink an account's invoices are
// handed over in the order in which they were issued, one at a time; one that its
// receiver does not take holds up that account alone, and is tried again, with
// growing pauses, until it is taken or an operator passes it over.
//
// What a crash means: progress is written after the receiver has answered, so what
// was handed over since the last write is handed over again, with the same bytes
// under the same id. Files and NATS subjects are named for the invoice, so there
// the second time changes nothing; a webhook's receiver knows a repetition by the
// webhook-id, which is the invoice's id.
//
// In memory are at most a few invoices per sink: lanes hold positions in the
// INVOICES stream, and how many is bounded. A sink that has as many held as may be
// reads no further until some are taken; the rest waits in the stream.
package deliver
