package ingest

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// csvColumns are the columns that every file must have, in any order. All others are data.
var csvColumns = [...]string{"id", "source", "type", "subject", "time"}

// csvReader reads comma-separated values (RFC 4180) with a header row. A cell of data is the field's text as it stands, an
// empty one means that the event has no such field.
type csvReader struct {
	name   string
	in     *csv.Reader
	row    rowLimit // what in reads from
	header []string
	core   [len(csvColumns)]int // where each of csvColumns is
	line   int
}

func newCSVReader(name string, in io.Reader) (Reader, error) {
	r := &csvReader{name: name, row: rowLimit{in: in, left: rowBytesMax}, line: 1}
	r.in = csv.NewReader(&r.row)
	header, err := r.in.Read()
	if errors.Is(err, io.EOF) {
		return nil, r.wrong(fmt.Errorf("is empty: the first line must name the columns %s, and those of the data",
			strings.Join(csvColumns[:], ", ")))
	}
	if err != nil {
		return nil, r.cannotRead(err)
	}
	r.header = header
	for i, column := range csvColumns {
		if r.core[i] = slices.Index(header, column); r.core[i] < 0 {
			return nil, r.wrong(fmt.Errorf("the header has no column %q; every file has %s", column, strings.Join(csvColumns[:], ", ")))
		}
	}
	for i, column := range header {
		if slices.Index(header, column) != i {
			return nil, r.wrong(fmt.Errorf("the header has the column %q twice", column))
		}
	}
	r.in.FieldsPerRecord = -1 // a wrong number of cells is reported below, with both numbers
	return r, nil
}

func (r *csvReader) Line() int { return r.line }

func (r *csvReader) Next() (billing.UsageEvent, error) {
	r.row.left = rowBytesMax
	cells, err := r.in.Read()
	if errors.Is(err, io.EOF) {
		return billing.UsageEvent{}, io.EOF
	}
	if err != nil {
		return billing.UsageEvent{}, r.cannotRead(err)
	}
	r.line, _ = r.in.FieldPos(0)
	if len(cells) != len(r.header) {
		return billing.UsageEvent{}, r.wrong(fmt.Errorf("has %d cells, the header has %d", len(cells), len(r.header)))
	}
	e, p := r.event(cells)
	if p != nil {
		return billing.UsageEvent{}, &LineError{File: r.name, Line: r.line, Err: p, Source: readable(e.Source), ID: readable(e.ID)}
	}
	return e, nil
}

// event makes an event of a row.
func (r *csvReader) event(cells []string) (billing.UsageEvent, *Problem) {
	e := billing.UsageEvent{
		ID: cells[r.core[0]], Source: cells[r.core[1]], Type: cells[r.core[2]],
		Account: billing.AccountID(cells[r.core[3]]),
	}
	instant, p := parseTime([]byte(cells[r.core[4]]))
	e.Time = time.Unix(0, instant).UTC()
	for i, cell := range cells {
		if cell != "" && !slices.Contains(r.core[:], i) {
			e.Data = append(e.Data, billing.Field{Key: r.header[i], Text: cell})
		}
	}
	// The other attributes come before the time and the data behind it, as in the other formats.
	if other := Validate(&e); other != nil && (p == nil || other.Reason != ReasonBadData) {
		p = other
	}
	return e, p
}

func (r *csvReader) wrong(err error) error {
	return &LineError{File: r.name, Line: r.line, Err: err}
}

// cannotRead words an error of the CSV reader. After a row with stray quotes reading goes on with the next.
func (r *csvReader) cannotRead(err error) error {
	var parse *csv.ParseError
	if !errors.As(err, &parse) {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	r.line = parse.Line
	return r.wrong(fmt.Errorf("column %d: %w", parse.Column, parse.Err))
}

// rowBytesMax bounds a row, of which an unclosed quotation mark would otherwise make the whole rest of a file.
const rowBytesMax = BodyBytesMax

var errRowLong = fmt.Errorf("a row is longer than %d bytes: is a quotation mark not closed?", rowBytesMax)

// rowLimit passes a stream through, but no more of it than is left for the row being read. What a reader above it reads
// ahead counts for the row too, which is little.
type rowLimit struct {
	in   io.Reader
	left int
}

func (l *rowLimit) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errRowLong
	}
	n, err := l.in.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
