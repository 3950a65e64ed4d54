package ingest

import (
	"bytes"
	"strings"

	"github.com/tollway/tollway/sdk/billing"
)

// The content types of a usage message. Parameters behind a semicolon and the case of letters do not matter.
const (
	ContentTypeEvent  = "application/cloudevents+json"                 // one CloudEvent
	ContentTypeArray  = "application/cloudevents-batch+json"           // a JSON array of them
	ContentTypePacked = "application/vnd.tollway.usage-batch+protobuf" // a tollway.v1.UsageBatch
	contentTypeSDK    = "application/cloudevents"                      // what the CNCF's Go SDK says for one CloudEvent over NATS
	contentTypeData   = "application/json"                             // the data alone, in binary mode
	headerContentType = "content-type"                                 // the header that tells them apart
	contentTypesKnown = ContentTypeEvent + ", " + ContentTypeArray + " or " + ContentTypePacked
)

// Decoder turns message bodies into events. It belongs to one goroutine, and makes no garbage as long as Reset is called
// from time to time.
type Decoder struct {
	seed    uint64
	arena   arena
	words   contentWords
	scratch []byte          // for whatever is being built; nothing in it outlives the building
	fields  []billing.Field // data of the event being read

	plain   plainMembers // the event being read, the short way
	json    jsonSource   // the message
	data    jsonSource   // data that is a JSON text of its own: in binary mode and in data_base64
	members eventMembers // the event being read

	packed packedState
}

// NewDecoder returns a Decoder whose identity hashes are seeded with seed: all decoders of an installation need the same,
// as identities are compared across restarts.
func NewDecoder(seed uint64) *Decoder {
	d := &Decoder{seed: seed}
	d.arena.text.keep, d.arena.fields.keep = true, true
	return d
}

// Reset ends the life of all events that Decode has returned: their memory is used for the next ones. Until then, and as
// long as nobody changes the bodies of their messages, the events hold; the Decoder only grows.
func (d *Decoder) Reset() {
	d.arena.reset()
}

// Decode appends the events of one message to dst and returns it. It never fails: what cannot be priced is an event with a
// Problem, one for each bad element beside the good ones, or a single one for a message that cannot be read as a whole.
// The header function returns the value of a message header, "" if there is none; it is asked for names in lower case and
// must not care about the case of those it has. The events refer to body, and to memory of the Decoder: see Reset.
func (d *Decoder) Decode(header func(name string) string, body []byte, dst []Event) []Event {
	if len(body) > BodyBytesMax {
		return append(dst, Event{Problem: problem(ReasonMessageTooLarge,
			"message: is %d bytes long, at most %d are allowed", len(body), BodyBytesMax)})
	}
	given := header(headerContentType)
	switch mediaType(given) {
	case ContentTypePacked:
		return d.decodePacked(body, dst)
	case ContentTypeEvent, contentTypeSDK:
		return d.decodeEvent(body, dst)
	case ContentTypeArray:
		return d.decodeArray(body, dst)
	}
	if header(attributeHeaders[attrSpecVersion]) != "" || header(attributeHeaders[attrID]) != "" {
		return d.decodeBinary(header, body, dst)
	}
	switch mediaType(given) {
	case "":
		if SaysPacked(body) {
			return d.decodePacked(body, dst)
		}
		fallthrough
	case contentTypeData:
		// Nobody said what it is, but a CloudEvent and an array of them cannot be taken for each other.
		if start := bytes.TrimLeft(body, " \t\r\n"); len(start) > 0 && start[0] == '[' {
			return d.decodeArray(body, dst)
		}
		return d.decodeEvent(body, dst)
	}
	return append(dst, undecodable("content type %s is not known: use %s, or send the attributes as ce- headers",
		shown(given), contentTypesKnown))
}

// SaysPacked reports whether a body begins as a packed batch does whose first string, the empty one, stands first. No JSON
// text has a zero byte, so that neither can be taken for the other. Such a message needs no header that says its content type,
// which every reader would have to take apart.
func SaysPacked(body []byte) bool { return len(body) >= 2 && body[0] == tagStrings && body[1] == 0 }

// undecodable is the event that stands for a message that cannot be read.
func undecodable(format string, args ...any) Event {
	return Event{Problem: problem(ReasonUndecodableMessage, "message: "+format, args...)}
}

// tooManyEvents is the event that stands for a message with more events than are allowed.
func tooManyEvents() Event {
	return Event{Problem: problem(ReasonTooManyEvents, "message: holds more than %d events", MessageEventsMax)}
}

// mediaType returns a content type without its parameters and in lower case.
func mediaType(contentType string) string {
	switch contentType {
	case ContentTypeEvent, ContentTypeArray, ContentTypePacked, contentTypeData, "":
		return contentType // as everybody writes it
	}
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// isJSON reports whether a datacontenttype says that the data is JSON. Absent means so too.
func isJSON(contentType string) bool {
	kind := mediaType(contentType)
	return kind == "" || kind == contentTypeData || strings.HasSuffix(kind, "+json")
}
