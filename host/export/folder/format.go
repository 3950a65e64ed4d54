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

// shaper appends what stands for an invoice in a file. It belongs to one goroutine.
type shaper func(b []byte, inv *export.Invoice, document []byte) ([]byte, error)

// textWriter is a Writer of one file in which the text of an invoice depends on
// nothing else. So any number of goroutines may make it, each with a shaper of its
// own, and one writes it.
type textWriter interface {
	Writer
	newShaper() shaper
	writeText(text []byte) error
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
	w := writer(file)
	if texts, ok := w.(textWriter); ok {
		return &singleTexts{textWriter: texts, file: file}, nil
	}
	return &singleWriter{Writer: w, file: file}, nil
}

type singleWriter struct {
	Writer
	file io.Closer
}

// Close implements [Writer].
func (w *singleWriter) Close() error { return errors.Join(w.Writer.Close(), w.file.Close()) }

type singleTexts struct {
	textWriter
	file io.Closer
}

// Close implements [Writer].
func (w *singleTexts) Close() error { return errors.Join(w.textWriter.Close(), w.file.Close()) }

// textFile writes what a shaper makes of invoices, behind a header.
type textFile struct {
	out    *bufio.Writer
	header []byte // not written yet
	shaper func() shaper
	shape  shaper // of Write
	buffer []byte
}

func textTo(w io.Writer, header []byte, newShaper func() shaper) Writer {
	return &textFile{out: bufio.NewWriterSize(w, 1<<16), header: header, shaper: newShaper, shape: newShaper()}
}

func (w *textFile) newShaper() shaper { return w.shaper() }

func (w *textFile) writeText(text []byte) error {
	for _, b := range [][]byte{w.header, text} {
		if _, err := w.out.Write(b); err != nil {
			return fmt.Errorf("folder: %w", err)
		}
	}
	w.header = nil
	return nil
}

// Write implements [Writer].
func (w *textFile) Write(inv *export.Invoice, document []byte) (err error) {
	if w.buffer, err = w.shape(w.buffer[:0], inv, document); err != nil {
		return err
	}
	return w.writeText(w.buffer)
}

// Close implements [Writer].
func (w *textFile) Close() error {
	return errors.Join(w.writeText(nil), w.out.Flush())
}

// jsonlTo writes invoices as they were issued, one a line.
func jsonlTo(w io.Writer) Writer {
	return textTo(w, nil, func() shaper {
		return func(b []byte, _ *export.Invoice, document []byte) ([]byte, error) {
			return append(append(b, document...), '\n'), nil
		}
	})
}

// csvTo writes a row for each line item.
func csvTo(w io.Writer) Writer {
	return textTo(w, export.CSVHeader(), func() shaper {
		rows := export.NewCSVRows()
		return func(b []byte, inv *export.Invoice, _ []byte) ([]byte, error) { return rows.Append(b, inv) }
	})
}

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
	return textTo(w, focus.Header(), func() shaper {
		rows := focus.NewCSVRows(provider)
		return func(b []byte, inv *export.Invoice, _ []byte) ([]byte, error) { return rows.Append(b, inv) }
	})
}
