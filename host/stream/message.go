package stream

import (
	"strings"
	"time"
)

// Header is what a message carries beside its body. Names are compared as NATS
// does, exactly, and then without regard to case, since producers differ.
type Header map[string][]string

// Get returns the first value of a name, or "". When several names differ only
// in case and none is exact, the smallest is taken: what a message says must not
// depend on the order of a map.
func (h Header) Get(name string) string {
	if len(h) == 0 {
		return ""
	}
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	found := ""
	for key := range h {
		if len(key) == len(name) && strings.EqualFold(key, name) && (found == "" || key < found) {
			found = key
		}
	}
	if v := h[found]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Message is one message of a stream. Data and Header belong to whoever got the
// message and are not reused.
type Message struct {
	Sequence uint64 // position in the stream, from 1
	Subject  string
	Header   Header
	Data     []byte
	Time     time.Time // when the server stored it, UTC; part of the log as the rest is
}

// delivery is what the reply subject of a delivered message says.
type delivery struct {
	sequence uint64 // in the stream
	consumer uint64 // how many the consumer has delivered with this one
	time     int64  // unix ns
	pending  uint64 // messages behind this one
}

// parseDelivery reads a reply subject, which has one of the forms
//
//	$JS.ACK.<stream>.<consumer>.<times>.<sequence>.<consumer sequence>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<times>.<sequence>.<consumer sequence>.<time>.<pending>[.<token>]
//
// and reports whether it is one.
func parseDelivery(reply string) (d delivery, ok bool) {
	const prefix, shortDots, skipLong = "$JS.ACK.", 8, 2
	if !strings.HasPrefix(reply, prefix) {
		return d, false
	}
	dots := strings.Count(reply, ".")
	field := 5 // tokens before the stream sequence
	if dots != shortDots {
		if dots < shortDots+skipLong {
			return d, false
		}
		field += skipLong
	}
	rest := reply
	for range field {
		rest = rest[strings.IndexByte(rest, '.')+1:]
	}
	var at uint64
	ok = true
	for _, v := range []*uint64{&d.sequence, &d.consumer, &at, &d.pending} {
		rest = takeNumber(rest, v, &ok)
	}
	d.time = int64(at)
	return d, ok && d.sequence > 0
}

// takeNumber reads the decimal token that s begins with and returns what is
// behind it.
func takeNumber(s string, v *uint64, ok *bool) string {
	i := 0
	for ; i < len(s) && s[i] != '.'; i++ {
		c := s[i] - '0'
		if c > 9 {
			*ok = false
			return ""
		}
		*v = *v*10 + uint64(c)
	}
	if i == 0 {
		*ok = false
		return ""
	}
	if i < len(s) {
		i++
	}
	return s[i:]
}
