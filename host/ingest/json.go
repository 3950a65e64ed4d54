package ingest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// attribute numbers the members of a CloudEvent that Tollway reads. Others, extension attributes among them, are checked
// to be JSON and dropped.
type attribute int

const (
	attrSpecVersion attribute = iota
	attrID
	attrSource
	attrType
	attrSubject
	attrTime
	attrContentType
	attrData
	attrDataBase64
	attributeCount
)

// attributeNames holds the names in the order of the constants.
var attributeNames = [attributeCount]string{
	"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data", "data_base64",
}

// attributeNamed returns the attribute with a name, and whether it is one that is read.
func attributeNamed(name []byte) (attribute, bool) {
	for a := range attributeCount {
		if string(name) == attributeNames[a] {
			return a, true
		}
	}
	return 0, false
}

// eventMembers holds the members of one CloudEvent as they were read, so that they can be judged in a fixed order
// whatever order they came in. The values are parts of the body.
type eventMembers struct {
	values      [attributeCount]jsontext.Value
	dataRead    bool     // data was an object; its fields are in Decoder.fields
	dataProblem *Problem // with that object
}

// decodeEvent decodes one CloudEvent in structured mode.
func (d *Decoder) decodeEvent(body []byte, dst []Event) []Event {
	dst = append(dst, Event{})
	next := d.plainEvent(body, space(body, 0), &dst[len(dst)-1])
	if next >= 0 && space(body, next) == len(body) {
		return dst
	}
	return d.decodeLong(body, dst[:len(dst)-1])
}

// decodeLong decodes one CloudEvent that is written in any way.
func (d *Decoder) decodeLong(body []byte, dst []Event) []Event {
	d.json.open(body)
	e := Event{}
	err := d.readElement(&e)
	if err == nil {
		err = endOf(&d.json.Decoder)
	}
	if err != nil {
		return append(dst, d.diagnose(body, err))
	}
	return append(dst, e)
}

// decodeArray decodes a JSON array of CloudEvents.
func (d *Decoder) decodeArray(body []byte, dst []Event) []Event {
	if events, ok := d.plainArray(body, dst); ok {
		return events
	}
	return d.decodeArrayLong(body, dst)
}

// decodeArrayLong decodes an array that is written in any way.
func (d *Decoder) decodeArrayLong(body []byte, dst []Event) []Event {
	start := len(dst)
	d.json.open(body)
	if d.json.PeekKind() != '[' {
		return append(dst, d.notAnArray())
	}
	_, err := d.json.ReadToken()
	for err == nil && d.json.PeekKind() != ']' {
		if len(dst)-start == MessageEventsMax {
			return append(dst[:start], tooManyEvents())
		}
		dst = append(dst, Event{Index: len(dst) - start})
		err = d.readElement(&dst[len(dst)-1])
	}
	if err == nil {
		if _, err = d.json.ReadToken(); err == nil {
			err = endOf(&d.json.Decoder)
		}
	}
	if err != nil {
		return d.decodeApart(body, dst[:start])
	}
	return dst
}

// decodeApart decodes an array in which the strict reading met an error. A reading that lets names appear twice and bytes
// be invalid finds where the elements begin and end, so that only the bad ones are lost. Where even that fails, nobody can
// say what belongs to which element, and the message is undecodable as a whole.
func (d *Decoder) decodeApart(body []byte, dst []Event) []Event {
	start := len(dst)
	outer := newLenient(body)
	_, err := outer.ReadToken()
	for err == nil && outer.PeekKind() != ']' {
		if len(dst)-start == MessageEventsMax {
			return append(dst[:start], tooManyEvents())
		}
		var element jsontext.Value
		if element, err = outer.ReadValue(); err == nil {
			dst = d.decodeLong(element, dst)
			dst[len(dst)-1].Index = len(dst) - 1 - start
		}
	}
	if err == nil {
		_, err = outer.ReadToken()
	}
	if err == nil {
		err = endOf(outer)
	}
	if err != nil {
		return append(dst[:start], undecodable("%s", syntaxDetail(err)))
	}
	return dst
}

// diagnose says what is wrong with one CloudEvent that the strict reading refused.
func (d *Decoder) diagnose(body []byte, strict error) Event {
	lenient := newLenient(body)
	_, err := lenient.ReadValue()
	if err == nil {
		err = endOf(lenient)
	}
	if err != nil {
		return undecodable("%s", syntaxDetail(err))
	}
	return Event{Problem: problem(ReasonUndecodableEvent, "event: %s", syntaxDetail(strict))}
}

// notAnArray says what a body is that should have been an array.
func (d *Decoder) notAnArray() Event {
	value, err := d.json.ReadValue()
	if err != nil {
		return undecodable("%s", syntaxDetail(err))
	}
	return undecodable("must be a JSON array, is %s; the content type of one event is %s", kindOf(value), ContentTypeEvent)
}

// jsonSource reads JSON text in place: the values it returns are parts of the text, and stay what they are while it does.
type jsonSource struct {
	buffer bytes.Buffer
	jsontext.Decoder
}

func (s *jsonSource) open(text []byte) {
	s.buffer = *bytes.NewBuffer(text)
	s.Reset(&s.buffer)
}

// openLenient is open for a reading that finds where values end, whatever names and bytes are in them.
func (s *jsonSource) openLenient(text []byte) {
	s.buffer = *bytes.NewBuffer(text)
	s.Reset(&s.buffer, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

var errTrailing = errors.New("more than one JSON value; send several events as an array")

// endOf reports an error unless the text ends here.
func endOf(dec *jsontext.Decoder) error {
	_, err := dec.ReadToken()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return errTrailing
	}
	return err
}

func newLenient(body []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// readElement reads the next JSON value as a CloudEvent. The error is one of JSON; what is wrong with a well-formed value
// becomes the event's Problem.
func (d *Decoder) readElement(e *Event) error {
	if kind := d.json.PeekKind(); kind != '{' {
		value, err := d.json.ReadValue()
		if err == nil {
			e.Problem = problem(ReasonUndecodableEvent, "event: must be a JSON object, is %s", kindOf(value))
		}
		return err
	}
	if err := d.readMembers(); err != nil {
		return err
	}
	e.Problem = d.assemble(e, d.text)
	if p := d.assembleData(e); e.Problem == nil {
		e.Problem = p
	}
	if e.Problem == nil {
		d.hashAll(e)
	}
	return nil
}

// readMembers reads a CloudEvent's members into d.members and its data into d.fields.
func (d *Decoder) readMembers() error {
	d.members = eventMembers{}
	d.fields = d.fields[:0]
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for d.json.PeekKind() != '}' {
		name, err := d.json.ReadValue()
		if err != nil {
			return err
		}
		a, known := attributeNamed(d.unquote(name))
		if known && a == attrData && d.json.PeekKind() == '{' {
			d.members.dataRead = true
			d.members.dataProblem, err = d.readData(&d.json.Decoder)
			if err != nil {
				return err
			}
			continue
		}
		value, err := d.json.ReadValue()
		if err != nil {
			return err
		}
		if known && value.Kind() != 'n' { // null means absent
			d.members.values[a] = value
		}
	}
	_, err := d.json.ReadToken()
	return err
}

// assemble makes the attributes of the event out of their texts, which need to be valid only until the next is asked for.
// It fills in what it can and returns the first problem in a fixed order.
func (d *Decoder) assemble(e *Event, text func(attribute) ([]byte, *Problem)) (first *Problem) {
	note := func(found *Problem) {
		if first == nil {
			first = found
		}
	}
	version, p := text(attrSpecVersion)
	if p == nil && string(version) != "1.0" {
		p = problem(ReasonBadAttribute, `specversion: is %s, must be "1.0"`, shown(string(version)))
	}
	note(p)
	for _, a := range [...]struct {
		attribute attribute
		to        *string
	}{{attrID, &e.ID}, {attrSource, &e.Source}, {attrType, &e.Type}} {
		value, p := text(a.attribute)
		if p == nil {
			*a.to, p = d.attributeText(a.attribute, value)
		}
		note(p)
	}
	subject, p := text(attrSubject)
	if p == nil {
		e.Account, p = d.accountText(subject)
	}
	note(p)
	instant, p := text(attrTime)
	if p == nil {
		e.Time, p = parseTime(instant)
	}
	note(p)
	return first
}

// text returns an attribute's value, valid until the next call.
func (d *Decoder) text(a attribute) ([]byte, *Problem) {
	value := d.members.values[a]
	switch {
	case value == nil:
		return nil, missing(attributeNames[a])
	case value.Kind() != '"':
		return nil, problem(ReasonBadAttribute, "%s: must be a string, is %s", attributeNames[a], kindOf(value))
	}
	return d.unquote(value), nil
}

// attributeText keeps the value of id, source or type if it is allowed.
func (d *Decoder) attributeText(a attribute, value []byte) (string, *Problem) {
	if len(value) > AttributeBytesMax {
		return "", checkAttribute(attributeNames[a], string(value))
	}
	kept := d.arena.copy(value)
	return kept, checkAttribute(attributeNames[a], kept)
}

// accountText keeps the subject if it is an account id.
func (d *Decoder) accountText(value []byte) (string, *Problem) {
	if len(value) > AttributeBytesMax { // longer than any token, so not worth keeping
		return "", checkAccount(string(value))
	}
	kept := d.arena.copy(value)
	return kept, checkAccount(kept)
}

// parseTime reads an RFC 3339 time as Unix nanoseconds. Digits beyond the nanosecond are cut off.
func parseTime(text []byte) (int64, *Problem) {
	var t time.Time
	if len(text) == 0 {
		return 0, missing("time")
	}
	if err := t.UnmarshalText(text); err != nil {
		return 0, problem(ReasonBadTime,
			"time: %s is not an RFC 3339 time with a zone, such as 2026-10-01T12:00:00Z", shown(string(text)))
	}
	if !timeInside(t) {
		return 0, timeProblem(string(text))
	}
	return t.UnixNano(), nil
}

// unquote returns the text of a JSON string, valid until the next call.
func (d *Decoder) unquote(quoted jsontext.Value) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	// The decoder has accepted the string, so it can be unquoted.
	d.scratch, _ = jsontext.AppendUnquote(d.scratch[:0], quoted)
	return d.scratch
}

// assembleData takes over the fields that were read as data, or reads them from data_base64.
func (d *Decoder) assembleData(e *Event) *Problem {
	m := &d.members
	contentType, data, encoded := m.values[attrContentType], m.values[attrData], m.values[attrDataBase64]
	if !m.dataRead && data == nil && encoded == nil {
		return nil
	}
	if contentType != nil {
		kind, p := d.text(attrContentType)
		if p != nil {
			return p
		}
		if !isJSON(string(kind)) {
			return notJSON(string(kind))
		}
	}
	switch {
	case data != nil:
		return problem(ReasonBadData, "data: must be a JSON object, is %s", kindOf(data))
	case m.dataRead && encoded != nil:
		return problem(ReasonBadData, "data_base64: is there beside data")
	case encoded != nil:
		if p := d.readBase64(); p != nil {
			return p
		}
	}
	if m.dataProblem != nil {
		return m.dataProblem
	}
	e.Data = d.arena.keep(d.fields)
	return sortFields(e.Data)
}

func notJSON(contentType string) *Problem {
	return problem(ReasonBadData, "datacontenttype: is %s, usage data must be %s", shown(contentType), contentTypeData)
}

// readBase64 reads the data out of data_base64.
func (d *Decoder) readBase64() *Problem {
	text, p := d.text(attrDataBase64)
	if p != nil {
		return p
	}
	data, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		return problem(ReasonBadData, "data_base64: is not base64")
	}
	return d.readDataBody(data, "data_base64")
}

// readDataBody reads a JSON object that is all of data; what is its name in details.
func (d *Decoder) readDataBody(data []byte, what string) *Problem {
	dec := &d.data.Decoder
	d.data.open(data)
	if kind := dec.PeekKind(); kind != '{' {
		value, err := dec.ReadValue()
		if err != nil {
			return problem(ReasonBadData, "%s: %s", what, syntaxDetail(err))
		}
		return problem(ReasonBadData, "%s: must be a JSON object, is %s", what, kindOf(value))
	}
	p, err := d.readData(dec)
	if err == nil {
		err = endOf(dec)
	}
	if err != nil {
		return problem(ReasonBadData, "%s: %s", what, syntaxDetail(err))
	}
	return p
}

// syntaxDetail words an error of the JSON decoder.
func syntaxDetail(err error) string {
	if errors.Is(err, io.EOF) {
		return "is empty"
	}
	return strings.TrimPrefix(err.Error(), "jsontext: ")
}

// kindOf names what a JSON value is.
func kindOf(value jsontext.Value) string {
	switch value.Kind() {
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '[':
		return "an array"
	default:
		return "an object"
	}
}
