package ingest

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tollway/tollway/sdk/billing"
)

// AppendJSON appends the event as a CloudEvent in structured mode, without a line end. Data fields are written as strings,
// which keep every text as it is, so that what is read back has the same identity and content. The error is the *Problem
// that a reader would have with the event, and nothing is appended then.
func AppendJSON(dst []byte, e *billing.UsageEvent) ([]byte, error) {
	if p := Validate(e); p != nil {
		return dst, p
	}
	return appendEvent(dst, e), nil
}

// FormatJSON returns what AppendJSON appends, for an event that is known to be valid, as every one is that a Decoder
// returned without a Problem. Of an event that is not, it shows what can be shown: bytes that are not UTF-8 become U+FFFD.
func FormatJSON(e billing.UsageEvent) []byte {
	return appendEvent(nil, &e)
}

func appendEvent(dst []byte, e *billing.UsageEvent) []byte {
	dst = appendMember(dst, `{"specversion":"1.0","id":`, e.ID)
	dst = appendMember(dst, `,"source":`, e.Source)
	dst = appendMember(dst, `,"type":`, e.Type)
	dst = appendMember(dst, `,"subject":`, string(e.Account))
	dst = appendMember(dst, `,"time":`, e.Time.UTC().Format(time.RFC3339Nano))
	if len(e.Data) > 0 {
		dst = append(dst, `,"datacontenttype":"application/json","data":`...)
		before := "{"
		for _, f := range e.Data {
			dst = appendMember(appendMember(dst, before, f.Key), ":", f.Text)
			before = ","
		}
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// appendMember appends text as a JSON string behind what comes before it.
func appendMember(dst []byte, before, text string) []byte {
	quoted, err := jsontext.AppendQuote(append(dst, before...), text)
	if err != nil { // invalid UTF-8 is the only one there is, and then a second time cannot fail
		return appendMember(dst, before, strings.ToValidUTF8(text, "\ufffd"))
	}
	return quoted
}
