package folder

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/export/focus"
	"github.com/tollway/tollway/host/export/parquet"
)

// Formats lists the formats.
func Formats() []string { return []string{"jsonl", "csv", "parquet", "focus", "html"} }

// Known reports whether there is such a format.
func Known(format string) bool { return slices.Contains(Formats(), format) }

// Streams reports whether a format is one file that can be written as the
// invoices come, so that it can go to a pipe.
func Streams(format string) bool { return format == "jsonl" || format == "csv" || format == "focus" }

// Writer writes invoices in a format, in the order of an export. Close completes
// the files; without it they are not to be used.
type Writer interface {
	// Write writes an invoice; document is the same as it was issued.
	Write(inv *export.Invoice, document []byte) error
	Close() error
}

// files makes files by name, with slashes. A manifest lists them in the order in
// which they are closed.
type files interface {
	create(name string) (io.WriteCloser, error)
}

// newWriter makes the writer of a format.
func newWriter(r Request, to files) (Writer, error) {
	switch r.Format {
	case "jsonl":
		return single(to, "invoices.jsonl", jsonlTo)
	case "csv":
		return single(to, "lines.csv", csvTo)
	case "parquet":
		return single(to, "lines.parquet", parquetTo)
	case "focus":
		return focusFiles(to, r.Provider)
	case "html":
		return newPages(to, r.Period)
	default:
		return nil, fmt.Errorf("folder: there is no format %q", r.Format)
	}
}

// NewStream makes the writer of a format that Streams on w, which Close leaves
// open.
func NewStream(r Request, w io.Writer) (Writer, error) {
	switch r.Format {
	case "jsonl":
		return jsonlTo(w), nil
	case "csv":
		return csvTo(w), nil
	case "focus":
		return focusTo(w, r.Provider), nil
	default:
		return nil, fmt.Errorf("folder: the format %s does not go to one stream", r.Format)
	}
}

// single makes a writer of one file.
func single(to files, name string, writer func(io.Writer) Writer) (Writer, error) {
	file, err := to.create(name)
	if err != nil {
		return nil, err
	}
	return &singleWriter{Writer: writer(file), file: file}, nil
}

type singleWriter struct {
	Writer
	file io.Closer
}

// Close implements [Writer].
func (w *singleWriter) Close() error { return errors.Join(w.Writer.Close(), w.file.Close()) }

// jsonlTo writes invoices as they were issued, one a line.
func jsonlTo(w io.Writer) Writer { return &jsonlWriter{out: bufio.NewWriterSize(w, 1<<16)} }

type jsonlWriter struct{ out *bufio.Writer }

// Write implements [Writer].
func (w *jsonlWriter) Write(_ *export.Invoice, document []byte) error {
	if _, err := w.out.Write(document); err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	return w.out.WriteByte('\n')
}

// Close implements [Writer].
func (w *jsonlWriter) Close() error { return w.out.Flush() }

// csvTo writes a row for each line item.
func csvTo(w io.Writer) Writer {
	out := bufio.NewWriterSize(w, 1<<16)
	return &csvWriter{table: export.NewCSV(out), out: out}
}

type csvWriter struct {
	table *export.CSV
	out   *bufio.Writer
}

// Write implements [Writer].
func (w *csvWriter) Write(inv *export.Invoice, _ []byte) error { return w.table.Write(inv) }

// Close implements [Writer].
func (w *csvWriter) Close() error { return errors.Join(w.table.Flush(), w.out.Flush()) }

// parquetTo writes a row for each line item, with typed columns.
func parquetTo(w io.Writer) Writer { return parquetWriter{parquet.NewWriter(w)} }

type parquetWriter struct{ *parquet.Writer }

// Write implements [Writer].
func (w parquetWriter) Write(inv *export.Invoice, _ []byte) error { return w.Writer.Write(inv) }

// focusFiles writes a dataset of FOCUS, and beside it the description of its
// columns, which is the same for every dataset.
func focusFiles(to files, provider string) (Writer, error) {
	metadata, err := focus.Metadata()
	if err != nil {
		return nil, err
	}
	file, err := to.create("focus_metadata.json")
	if err != nil {
		return nil, err
	}
	_, err = file.Write(metadata)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	return single(to, "focus.csv", func(w io.Writer) Writer { return focusTo(w, provider) })
}

func focusTo(w io.Writer, provider string) Writer {
	out := bufio.NewWriterSize(w, 1<<16)
	return &focusWriter{table: focus.NewWriter(out, provider), out: out}
}

type focusWriter struct {
	table *focus.Writer
	out   *bufio.Writer
}

// Write implements [Writer].
func (w *focusWriter) Write(inv *export.Invoice, _ []byte) error { return w.table.Write(inv) }

// Close implements [Writer].
func (w *focusWriter) Close() error { return errors.Join(w.table.Close(), w.out.Flush()) }
