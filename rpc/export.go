package rpc

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
)

// exportBytesMax bounds a chunk of documents, and so what a reader that takes
// none holds of the server's memory. It is small enough that a slow one gets a
// whole chunk within the limit for a message (see limits.send), and goes on from
// its cursor.
const exportBytesMax = 256 << 10

// exporter sends one export. It belongs to one call.
type exporter struct {
	invoiceService
	request *tollwayv1.InvoiceServiceExportRequest
	stream  tollwayv1connect.InvoiceServiceExportServerStream
	filter  InvoiceFilter
	pages   pager
	at      exportCursor
	open    []*tollwayv1.PeriodStatus
}

// exportCursor is a place in an export: so many bytes into the document behind an
// engine's token.
type exportCursor struct {
	token  string
	offset int
}

// Export sends all invoices that match, from the cursor on. Between two messages
// it holds the chunk that is being sent and nothing of the engine.
func (s invoiceService) Export(ctx context.Context, r *tollwayv1.InvoiceServiceExportRequest, stream tollwayv1connect.InvoiceServiceExportServerStream) error {
	filter, err := invoiceFilter(r)
	if err != nil {
		return err
	}
	if r.GetPeriod() == "" && !r.GetPartial() {
		return refuse(ReasonInvalidRequest, "name the period, or set partial to get all that were issued so far", "period is missing")
	}
	e := &exporter{
		invoiceService: s, request: r, stream: stream, filter: filter,
		pages: newPager("InvoiceService/Export", r.GetAccount(), r.GetPeriod(), r.GetCurrency()),
	}
	if e.at, err = e.parse(r.GetCursor()); err != nil {
		return err
	}
	ctx, release := s.untilDrained(ctx)
	defer release()
	if err := s.wait(ctx, r.GetMinPosition()); err != nil {
		return s.ended(err)
	}
	if err := e.refuseOpen(ctx); err != nil {
		return s.ended(err)
	}
	for done := false; !done; {
		if err := ctx.Err(); err != nil {
			return s.ended(err)
		}
		page, err := s.engine.InvoiceDocuments(ctx, filter, e.at.token, exportBytesMax)
		if err != nil {
			return s.ended(err)
		}
		if done, err = e.send(ctx, page); err != nil {
			return err
		}
	}
	return nil
}

// refuseOpen looks which of the periods asked for may still get invoices. It looks
// before the first invoice is read: a period that closes in between is called open
// although its invoices are here, never the other way round.
func (e *exporter) refuseOpen(ctx context.Context) error {
	periods, _, err := e.engine.Periods(ctx)
	if err != nil {
		return err
	}
	known := e.request.GetPeriod() == ""
	var open []query.PeriodState
	for i := range periods {
		if !periodMatches(periods[i].Period, e.request.GetPeriod()) {
			continue
		}
		known = true
		if len(periods[i].Open)+len(periods[i].Parked) > 0 {
			open = append(open, periods[i])
		}
	}
	switch {
	case e.request.GetPartial():
		e.open = periodStatusesOut(open)
		return nil
	case !known:
		return refuse(ReasonInvalidPeriod, "PeriodService.List, or `tollway periods list`, shows which there are",
			"there is no period %s", e.request.GetPeriod())
	case len(open) > 0:
		return &openError{period: e.request.GetPeriod(), open: open}
	}
	return nil
}

// send sends a page as one chunk, or a document that is too long for one in
// pieces.
func (e *exporter) send(ctx context.Context, page InvoiceDocuments) (done bool, err error) {
	next := exportCursor{token: page.Next}
	if e.request.GetAsDocuments() && len(page.Documents) == 1 && len(page.Documents[0]) > exportBytesMax {
		return e.sendPieces(ctx, page, next)
	}
	if e.at.offset > 0 {
		return false, errCursor()
	}
	e.at = next
	chunk := e.message(!page.More, page.AsOf)
	if e.request.GetAsDocuments() {
		chunk.Documents = page.Documents
		return !page.More, e.stream.Send(chunk)
	}
	for _, document := range page.Documents {
		invoice, err := export.DecodeInvoice(document)
		if err != nil {
			return false, err
		}
		chunk.Invoices = append(chunk.Invoices, invoiceOut(&invoice))
	}
	return !page.More, e.stream.Send(chunk)
}

// sendPieces sends what is left of a long document.
func (e *exporter) sendPieces(ctx context.Context, page InvoiceDocuments, next exportCursor) (done bool, err error) {
	document, last := page.Documents[0], !page.More
	if e.at.offset >= len(document) {
		return false, errCursor()
	}
	for rest := document[e.at.offset:]; len(rest) > 0; {
		if err := ctx.Err(); err != nil {
			return false, e.ended(err)
		}
		piece := rest[:min(len(rest), exportBytesMax)]
		rest = rest[len(piece):]
		if e.at.offset += len(piece); len(rest) == 0 {
			e.at = next
		}
		chunk := e.message(last && len(rest) == 0, page.AsOf)
		chunk.DocumentPiece, chunk.DocumentEnds = piece, len(rest) == 0
		if err := e.stream.Send(chunk); err != nil {
			return false, err
		}
	}
	return last, nil
}

// message begins the message whose cursor is where the export has come to.
func (e *exporter) message(last bool, asOf query.AsOf) *tollwayv1.InvoiceServiceExportResponse {
	m := &tollwayv1.InvoiceServiceExportResponse{Cursor: e.seal(e.at), AsOf: asOfOut(asOf), Done: last}
	if last {
		m.OpenPeriods = e.open
	}
	return m
}

func errCursor() error {
	return refuse(ReasonInvalidPageToken, "leave it out to begin from the start", "the cursor is %v", errToken)
}

// seal makes a cursor that callers see.
func (e *exporter) seal(c exportCursor) string {
	return e.pages.next(string(binary.AppendUvarint(nil, uint64(c.offset))) + c.token)
}

// parse is the inverse of seal; the empty text is the start.
func (e *exporter) parse(cursor string) (exportCursor, error) {
	page, err := e.pages.page(0, cursor)
	if err != nil || cursor == "" {
		return exportCursor{}, err
	}
	offset, n := binary.Uvarint([]byte(page.Token))
	if n <= 0 || offset > answerBytesMax || offset > 0 && !e.request.GetAsDocuments() {
		return exportCursor{}, errCursor()
	}
	return exportCursor{token: page.Token[n:], offset: int(offset)}, nil
}

// openError refuses an export of what may still get invoices.
type openError struct {
	period string
	open   []query.PeriodState // not empty
}

// Reason implements [Fault].
func (*openError) Reason() string { return ReasonPeriodOpen }

// Hint implements [Fault].
func (*openError) Hint() string {
	return "close it (PeriodService.Close, or `tollway periods close`) and mend what parks invoices, or ask with partial for what is there"
}

func (e *openError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "period %s may still get invoices", e.period)
	before := ": "
	for i := range e.open {
		o := &e.open[i]
		fmt.Fprintf(&b, "%s%s in %s", before, o.Period.ID(), o.Zone)
		before = "; "
		if o.AnchorDay != 1 {
			fmt.Fprintf(&b, " (anchor day %d)", o.AnchorDay)
		}
		if len(o.Open) > 0 {
			fmt.Fprintf(&b, " is open in partitions %s", strings.Trim(fmt.Sprint(o.Open), "[]"))
		}
		if len(o.Open) > 0 && len(o.Parked) > 0 {
			b.WriteString(" and")
		}
		if len(o.Parked) > 0 {
			fmt.Fprintf(&b, " has %d accounts without an invoice (parked, the first is %s)", len(o.Parked), o.Parked[0].Account)
		}
	}
	return b.String()
}

// openCalendarsMax bounds the details of an error: HTTP headers carry them in
// gRPC's trailers.
const openCalendarsMax = 50

// details are the calendars, one each, without the parked accounts, which
// PeriodService.List has.
func (e *openError) details() []proto.Message {
	var out []proto.Message
	for i := range e.open[:min(len(e.open), openCalendarsMax)] {
		status := periodStatusOut(&e.open[i])
		status.Parked, status.ClosedPartitions = nil, nil
		out = append(out, status)
	}
	return out
}
