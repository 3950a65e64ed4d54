// Package export makes documents: invoices out of finished slots, their JSON
// and CSV forms, and the report of `tollway rate`.
//
//	finished slots of one account, period, currency ──NewInvoice──▶ Invoice
//	                                                                  │ Encode, WriteJSONL, CSV
//	                                                                  ▼
//	                                                     the same bytes every time
//
// It owns which lines stand on an invoice, in which order, and how numbers are
// written. It does not price: quantities and amounts come from the tariffs.
//
// The package is pure: no clock, no files, no network but the writer that it is
// given. Nothing in it keeps state, so everything may be called from any
// goroutine; a [CSV] belongs to one.
package export
