package ingest

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"
)

// attributeHeaders holds the names of the attributes' headers in the order of the constants. Data is the body.
var attributeHeaders = [attributeCount]string{
	attrSpecVersion: "ce-specversion", attrID: "ce-id", attrSource: "ce-source", attrType: "ce-type", attrSubject: "ce-subject",
	attrTime: "ce-time", attrContentType: "ce-datacontenttype",
}

// decodeBinary decodes one CloudEvent in binary mode: the attributes are headers, the body is the data.
func (d *Decoder) decodeBinary(header func(string) string, body []byte, dst []Event) []Event {
	e := Event{}
	e.Problem = d.assemble(&e, func(a attribute) ([]byte, *Problem) { return d.headerText(header, a) })
	if p := d.binaryData(header, body, &e); e.Problem == nil {
		e.Problem = p
	}
	if e.Problem == nil {
		d.hashAll(&e)
	}
	return append(dst, e)
}

// binaryData reads the body as data. Its content type is the attribute's, which over NATS has a header of its own, or that
// of the message, as over HTTP.
func (d *Decoder) binaryData(header func(string) string, body []byte, e *Event) *Problem {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	contentType := header(attributeHeaders[attrContentType])
	if contentType == "" {
		contentType = header(headerContentType)
	}
	if !isJSON(contentType) {
		return notJSON(contentType)
	}
	if d.plainDataBody(body) {
		e.Data = d.arena.keep(d.fields)
		return nil
	}
	if p := d.readDataBody(body, "data"); p != nil {
		return p
	}
	e.Data = d.arena.keep(d.fields)
	return sortFields(e.Data)
}

// headerText returns the value of an attribute's header, valid until the next call.
func (d *Decoder) headerText(header func(string) string, a attribute) ([]byte, *Problem) {
	raw := header(attributeHeaders[a])
	if raw == "" {
		return nil, missing(attributeNames[a])
	}
	var err error
	if d.scratch, err = appendHeaderValue(d.scratch[:0], raw); err != nil {
		return nil, problem(ReasonBadAttribute, "%s: the header's value %s %v", attributeNames[a], shown(raw), err)
	}
	return d.scratch, nil
}

var (
	errPercent    = errors.New("is not percent-encoded: % must be followed by two hexadecimal digits, % itself is %25")
	errHeaderUTF8 = errors.New("is not valid UTF-8 when decoded")
	errQuotes     = errors.New("begins with a quotation mark that is not closed")
)

// appendHeaderValue decodes an attribute's header as the CloudEvents bindings say: first the quotes of a quoted string are
// taken off, then one round of percent-decoding is done, and what is not UTF-8 then is refused.
func appendHeaderValue(dst []byte, raw string) ([]byte, error) {
	raw, err := unquoteHeader(strings.TrimSpace(raw))
	if err != nil {
		return dst, err
	}
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			if i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
				return dst, errPercent
			}
			c = hexValue(raw[i+1])<<4 | hexValue(raw[i+2])
			i += 2
		}
		dst = append(dst, c)
	}
	if !utf8.Valid(dst) {
		return dst, errHeaderUTF8
	}
	return dst, nil
}

// unquoteHeader takes the quotes and backslashes of a quoted string (RFC 7230, section 3.2.6) away.
func unquoteHeader(raw string) (string, error) {
	if raw == "" || raw[0] != '"' {
		return raw, nil
	}
	var text strings.Builder
	for i := 1; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			if i != len(raw)-1 {
				return "", errQuotes
			}
			return text.String(), nil
		case '\\':
			if i++; i == len(raw) {
				return "", errQuotes
			}
		}
		text.WriteByte(raw[i])
	}
	return "", errQuotes
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func hexValue(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	default:
		return c - 'a' + 10
	}
}
