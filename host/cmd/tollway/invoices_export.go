package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/export/folder"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// invoicesExportCommand exports a period.
type invoicesExportCommand struct {
	clientFlags
	Period   string `required:"" placeholder:"PERIOD" help:"Billing period: 2026-10, or its start date."`
	Account  string `placeholder:"ID" help:"Only this account."`
	Currency string `placeholder:"CODE" help:"Only this currency."`
	Format   string `enum:"${formats}" default:"jsonl" help:"${formats_help}"`
	Out      string `placeholder:"DIR" help:"Folder to make, with manifest.json last. An export that was cut goes on where it stopped. Default: standard output, of a format that is one stream."`
	Provider string `placeholder:"NAME" help:"The seller's name in FOCUS, where the catalog gave none when the invoice was issued."`
	Partial  bool   `help:"Export what there is although the period is still open in places."`
}

func (c *invoicesExportCommand) request() folder.Request {
	return folder.Request{Period: c.Period, Account: c.Account, Currency: c.Currency, Partial: c.Partial, Format: c.Format, Provider: c.Provider}
}

// Run writes the export. Of a period that is still open it writes nothing, unless
// asked to.
func (c *invoicesExportCommand) Run(ctx context.Context, s streams) error {
	if c.Out == "" && !folder.Streams(c.Format) {
		return usageError{fmt.Errorf("%s is not one stream: name the folder to make with --out DIR", c.Format)}
	}
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	if c.Out == "" {
		return c.stream(ctx, clients, s)
	}
	return c.folder(ctx, clients, s)
}

// stream writes the export to standard output.
func (c *invoicesExportCommand) stream(ctx context.Context, clients *rpc.Clients, s streams) error {
	w, err := folder.NewStream(c.request(), s.out)
	if err != nil {
		return err
	}
	var open []folder.Open
	err = documents(ctx, clients, c.request(), &open, func(document []byte) error {
		inv, err := export.DecodeInvoice(document)
		if err != nil {
			return err
		}
		return w.Write(&inv, document)
	})
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return warnOpen(s.err, open)
}

// folder writes the export to a folder.
func (c *invoicesExportCommand) folder(ctx context.Context, clients *rpc.Clients, s streams) (err error) {
	e, err := folder.Begin(c.Out, c.request())
	switch {
	case errors.Is(err, folder.ErrFinished):
		return fmt.Errorf("%s holds a finished export already: check it with `tollway invoices verify %s`, or name another folder", c.Out, c.Out)
	case errors.Is(err, folder.ErrNotEmpty):
		return fmt.Errorf("%s is not empty: name a folder that is, or a new one", c.Out)
	case errors.Is(err, folder.ErrOtherRequest):
		return fmt.Errorf("%w\nRemove %s/.unfinished to begin anew, or name another folder", err, c.Out)
	case err != nil:
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if e.Bytes() > 0 {
		if _, err := fmt.Fprintf(s.err, "going on with an export that was cut: %d bytes are here\n", e.Bytes()); err != nil {
			return err
		}
	}
	bar := newProgress(s.err, "exporting", "kB")
	received := 0
	for !e.Complete() {
		err := fetch(ctx, clients, c.request(), e.Cursor(), func(f fetched) error {
			received += len(f.bytes)
			bar.add(received >> 10)
			received &= 1<<10 - 1
			if f.done {
				return e.Last(f.bytes, f.cursor, f.open)
			}
			return e.Append(f.bytes, f.cursor)
		})
		if err != nil {
			bar.finish()
			return err
		}
	}
	bar.finish()
	m, err := e.Finish()
	if err != nil {
		return err
	}
	if err := warnOpen(s.err, m.Open); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.err, "%s written to %s\n", sums(m), c.Out)
	return err
}

// sums says what a folder comes to.
func sums(m *folder.Manifest) string {
	text := counted(m.Invoices, "invoice") + " with " + counted(m.Lines, "line")
	for _, t := range m.Totals {
		text += fmt.Sprintf(", %s %s", t.Amount, t.Currency)
	}
	return text
}

// warnOpen says where more invoices may come from.
func warnOpen(w io.Writer, open []folder.Open) error {
	for _, o := range open {
		_, err := fmt.Fprintf(w, "partial: period %s in %s is open in %s, parked: %s\n", o.Period, o.Zone, counted(len(o.Partitions), "partition"), counted(o.Parked, "account"))
		if err != nil {
			return err
		}
	}
	return nil
}

// fetched is a chunk of an export: documents as JSON Lines, cut anywhere.
type fetched struct {
	bytes  []byte
	cursor string // goes on behind it
	done   bool   // it is the last one
	open   []folder.Open
}

// How an export that breaks off is begun again, as long as it makes no progress.
const (
	exportAttempts = 5
	exportPause    = 200 * time.Millisecond // before the second attempt; it doubles
)

// fetch hands out the chunks of an export behind a cursor, up to the last one. It
// goes on where the stream breaks off.
func fetch(ctx context.Context, clients *rpc.Clients, r folder.Request, cursor string, take func(fetched) error) error {
	request := exportRequest(r, cursor)
	for attempt := 1; ; attempt++ {
		before := request.GetCursor()
		done, broken, err := fetchOnce(ctx, clients, request, take)
		if err != nil || done {
			return err
		}
		if request.GetCursor() != before {
			attempt = 0
		}
		if attempt == exportAttempts || !passing(clients, broken) {
			if request.GetCursor() == cursor && cursor == "" && !passing(clients, broken) {
				return failed(clients, broken) // it was refused, and has not begun
			}
			return fmt.Errorf("the export did not come to its end: %w", failed(clients, broken))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(exportPause << attempt):
		}
	}
}

func exportRequest(r folder.Request, cursor string) *tollwayv1.InvoiceServiceExportRequest {
	return &tollwayv1.InvoiceServiceExportRequest{
		Period: r.Period, Account: r.Account, Currency: r.Currency, Partial: r.Partial, AsDocuments: true, Cursor: cursor,
	}
}

// fetchOnce hands out what one call gives and moves the request's cursor along.
// broken is why the call ended before the last chunk.
func fetchOnce(ctx context.Context, clients *rpc.Clients, request *tollwayv1.InvoiceServiceExportRequest, take func(fetched) error) (done bool, broken, err error) {
	stream, broken := clients.Invoices.Export(ctx, request)
	if broken != nil {
		return false, broken, nil
	}
	// What is left of a stream that broke off tells nothing more.
	defer func() { _ = stream.Close() }()
	for {
		m, broken := stream.Receive()
		if errors.Is(broken, io.EOF) {
			broken = io.ErrUnexpectedEOF // the last message says that it is the last
		}
		if broken != nil {
			return false, broken, nil
		}
		if err := take(chunkOf(m)); err != nil {
			return false, nil, err
		}
		request.Cursor = m.GetCursor()
		if m.GetDone() {
			return true, nil, nil
		}
	}
}

// passing reports whether a call that failed may do better the next time.
func passing(clients *rpc.Clients, err error) bool {
	f := clients.Explain(err)
	if f == nil {
		return true // the connection, or a stream that ended too early
	}
	switch f.Code {
	case "unavailable", "aborted", "resource_exhausted", "deadline_exceeded", "internal", "unknown":
		return true
	default:
		return false
	}
}

func chunkOf(m *tollwayv1.InvoiceServiceExportResponse) fetched {
	f := fetched{cursor: m.GetCursor(), done: m.GetDone()}
	for _, document := range m.GetDocuments() {
		f.bytes = append(append(f.bytes, document...), '\n')
	}
	if f.bytes = append(f.bytes, m.GetDocumentPiece()...); m.GetDocumentEnds() {
		f.bytes = append(f.bytes, '\n')
	}
	for _, p := range m.GetOpenPeriods() {
		f.open = append(f.open, folder.Open{
			Period: p.GetPeriod().GetId(), Zone: p.GetTimeZone(), AnchorDay: p.GetAnchorDay(), Partitions: p.GetOpenPartitions(), Parked: p.GetParkedCount(),
		})
	}
	return f
}

// documents calls fn with each document of an export, without its newline; it is
// valid during the call.
func documents(ctx context.Context, clients *rpc.Clients, r folder.Request, open *[]folder.Open, fn func(document []byte) error) error {
	var rest []byte
	return fetch(ctx, clients, r, "", func(f fetched) error {
		chunk := f.bytes
		for {
			document, more, whole := bytes.Cut(chunk, []byte{'\n'})
			if !whole {
				rest = append(rest, chunk...)
				break
			}
			if len(rest) > 0 {
				document = append(rest, document...)
				rest = nil
			}
			if err := fn(document); err != nil {
				return err
			}
			chunk = more
		}
		*open = f.open
		return nil
	})
}

// formatHelp says what the formats are.
func formatHelp() string {
	return "Format: " + strings.Join([]string{
		"jsonl (the invoices as issued, one a line)", "csv (a row a line item)", "parquet (the same rows, typed)", "focus (FOCUS 1.2, for FinOps tools)", "html (a page an invoice, to print)",
	}, ", ") + "."
}
