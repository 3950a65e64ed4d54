package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tollway/tollway/sdk/billing"
)

// arrayReader reads a file that is one JSON array of CloudEvents, element by element.
type arrayReader struct {
	name    string
	in      *jsontext.Decoder
	lines   *lineCounter
	decoder fileDecoder
	line    int
	started bool
}

// newArrayReader returns a Reader of an array that begins behind the given number of line ends. It lets names be there
// twice and bytes be invalid, for then it is the decoder of the element that complains, and reading goes on.
func newArrayReader(name string, in io.Reader, line int) *arrayReader {
	lines := &lineCounter{in: in, line: line + 1}
	return &arrayReader{name: name, lines: lines, in: jsontext.NewDecoder(lines,
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
}

func (r *arrayReader) Line() int { return r.line }

func (r *arrayReader) Next() (billing.UsageEvent, error) {
	if !r.started {
		r.started = true
		if _, err := r.in.ReadToken(); err != nil {
			return billing.UsageEvent{}, r.broken(err)
		}
	}
	if r.in.PeekKind() == ']' {
		return billing.UsageEvent{}, r.end()
	}
	value, err := r.in.ReadValue()
	if err != nil {
		return billing.UsageEvent{}, r.broken(err)
	}
	r.line = r.lines.at(r.in.InputOffset() - int64(len(value)))
	e, err := r.decoder.parse(value)
	if err != nil {
		return billing.UsageEvent{}, &LineError{File: r.name, Line: r.line, Err: err, Source: e.Source, ID: e.ID}
	}
	return e, nil
}

// end passes the array's end, behind which nothing may follow.
func (r *arrayReader) end() error {
	if r.in.StackDepth() > 0 {
		if _, err := r.in.ReadToken(); err != nil {
			return r.broken(err)
		}
	}
	if err := endOf(r.in); err != nil {
		return r.broken(err)
	}
	return io.EOF
}

// broken is the error of a file that is not a JSON array. No line behind it can be read.
func (r *arrayReader) broken(err error) error {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%s:%d: %s", r.name, r.lines.at(syntax.ByteOffset), syntaxDetail(err))
	}
	return fmt.Errorf("%s: %w", r.name, err)
}

// lineCounter passes a stream through and remembers where its lines end, as far as that has not been asked for yet.
type lineCounter struct {
	in     io.Reader
	offset int64   // bytes passed through
	ends   []int64 // offsets of line ends that lie behind the last question
	line   int     // the line of the last question
}

func (c *lineCounter) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	for at := 0; ; {
		i := bytes.IndexByte(p[at:n], '\n')
		if i < 0 {
			break
		}
		c.ends = append(c.ends, c.offset+int64(at+i))
		at += i + 1
	}
	c.offset += int64(n)
	return n, err
}

// at returns the line of the byte at an offset. Offsets must not fall from one question to the next.
func (c *lineCounter) at(offset int64) int {
	passed := 0
	for passed < len(c.ends) && c.ends[passed] < offset {
		passed++
	}
	c.line += passed
	c.ends = c.ends[:copy(c.ends, c.ends[passed:])]
	return c.line
}
