package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/tollway/tollway/sdk/billing"
)

// ParseJSON reads one CloudEvent in structured mode. The error, if any, is a *Problem.
func ParseJSON(body []byte) (billing.UsageEvent, error) {
	e, err := new(fileDecoder).parse(body)
	if err != nil {
		return billing.UsageEvent{}, err
	}
	return e, nil
}

// Reader reads usage events from a file, one at a time and in constant memory. It belongs to one goroutine.
type Reader interface {
	// Next returns the next event. It returns io.EOF behind the last one, a *LineError for a line that is not a usage
	// event, behind which reading goes on with the next one, and any other error when the file cannot be read further.
	Next() (billing.UsageEvent, error)
	// Line returns the line of the file, counted from 1, on which the event returned last began.
	Line() int
}

// LineError says what is wrong with one line of a file of events.
type LineError struct {
	File string
	Line int // from 1
	Err  error
	// Source and ID are the event's, where they could be read; else empty.
	Source, ID string
}

func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap returns the error without its place, a *Problem where the line could be read at all.
func (e *LineError) Unwrap() error { return e.Err }

// NewReader returns a Reader for a file with the given name: CSV if the name ends in .csv, else a JSON array if its first
// character is an opening bracket, else JSON Lines. A byte order mark is passed over.
func NewReader(name string, file io.Reader) (Reader, error) {
	r := bufio.NewReaderSize(file, 64<<10)
	if mark, err := r.Peek(3); err == nil && string(mark) == "\ufeff" {
		if _, err := r.Discard(len(mark)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if strings.EqualFold(filepath.Ext(name), ".csv") {
		return newCSVReader(name, r)
	}
	blank, err := skipBlank(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	first, err := r.Peek(1)
	if err == nil && first[0] == '[' {
		return newArrayReader(name, r, blank), nil
	}
	return &lineReader{name: name, in: r, line: blank}, nil
}

// skipBlank passes over white space and returns how many lines of it there were.
func skipBlank(r *bufio.Reader) (lines int, err error) {
	for {
		c, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
		switch c {
		case '\n':
			lines++
		case ' ', '\t', '\r':
		default:
			return lines, r.UnreadByte()
		}
	}
}

// fileDecoder decodes the elements of a file. Identities play no part there, so its seed does not matter.
type fileDecoder struct {
	Decoder
	events [1]Event
}

// parse returns an event, or a problem with what is known of the event's identity. Neither refers to body.
func (d *fileDecoder) parse(body []byte) (billing.UsageEvent, error) {
	if len(body) > BodyBytesMax {
		return billing.UsageEvent{}, problem(ReasonMessageTooLarge, "event: is longer than %d bytes", BodyBytesMax)
	}
	own := d.arena.text.take(len(body), textBlockBytes)
	copy(own, body)
	e := &d.decodeEvent(own, d.events[:0])[0]
	if e.Problem != nil {
		return billing.UsageEvent{Source: readable(e.Source), ID: readable(e.ID)}, e.Problem
	}
	return e.Usage(), nil
}

// readable returns a text that outlives the body it came from, or nothing if it is no text.
func readable(text string) string {
	if !utf8.ValidString(text) {
		return ""
	}
	return strings.Clone(text)
}

// lineReader reads JSON Lines: one CloudEvent a line, empty lines passed over.
type lineReader struct {
	name    string
	in      *bufio.Reader
	decoder fileDecoder
	long    []byte // a line that is longer than the buffer of in
	line    int
}

func (r *lineReader) Line() int { return r.line }

func (r *lineReader) Next() (billing.UsageEvent, error) {
	for {
		text, tooLong, err := r.read()
		if err != nil {
			return billing.UsageEvent{}, err
		}
		r.line++
		if tooLong {
			return billing.UsageEvent{}, r.wrong(billing.UsageEvent{}, problem(ReasonMessageTooLarge, "event: is longer than %d bytes", BodyBytesMax))
		}
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		e, err := r.decoder.parse(text)
		if err != nil {
			return billing.UsageEvent{}, r.wrong(e, err)
		}
		return e, nil
	}
}

func (r *lineReader) wrong(e billing.UsageEvent, err error) error {
	return &LineError{File: r.name, Line: r.line, Err: err, Source: e.Source, ID: e.ID}
}

// read returns the next line, valid until the next call. Of a line that is too long it returns nothing, so that a file
// without line ends takes no more memory than the longest event would.
func (r *lineReader) read() (text []byte, tooLong bool, err error) {
	r.long = r.long[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		switch {
		case err == nil && len(r.long) == 0 && !tooLong:
			return part, false, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF):
			return nil, false, fmt.Errorf("%s: %w", r.name, err)
		}
		if len(r.long)+len(part) > BodyBytesMax+1 { // the one being the line end
			r.long, tooLong = r.long[:0], true
		}
		if !tooLong {
			r.long = append(r.long, part...)
		}
		switch {
		case err == nil:
			return r.long, tooLong, nil
		case errors.Is(err, io.EOF) && len(r.long) == 0 && !tooLong:
			return nil, false, io.EOF
		case errors.Is(err, io.EOF):
			return r.long, tooLong, nil
		}
	}
}
