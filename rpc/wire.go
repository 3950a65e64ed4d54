package rpc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// Subtotals are what is asked for most, thousands of times a second. Callers who take
// binary protobuf get them as bytes that are written here, field by field, and never
// are messages: an answer of ten subtotals would be a hundred objects, and walking over
// them costs more than all else that the answer takes. The bytes travel as the unknown
// fields of an empty message, which are encoded as they are. What they decode to is
// what the generated code would have written; a test holds the two together.

// isBinary reports whether a call's messages are binary protobuf.
func isBinary(ctx context.Context) bool {
	info, ok := connect.CallInfoForServerContext(ctx)
	return ok && info.Codec == connect.CodecNameProto
}

// carry makes a message of what is written already, for callers that take binary.
func carry[M proto.Message](message M, written []byte) M {
	message.ProtoReflect().SetUnknown(written)
	return message
}

// wire writes fields of messages. A field that has its zero value is left out, as
// protobuf has it.
type wire []byte

// Room for what is written, in bytes: about what one of each takes.
const (
	wireAnswerRoom   = 512
	wireSubtotalRoom = 384
	wireTokenRoom    = 16 // beside a token
)

func newWire(subtotals int) wire {
	return make(wire, 0, wireAnswerRoom+subtotals*wireSubtotalRoom)
}

// wires is memory of answers that were sent.
var wires sync.Pool //nolint:gochecknoglobals // of all servers: a codec has none of its own

// wireKeptMax is the size of memory beyond which it is not kept for another answer.
const wireKeptMax = 64 << 10

// takeWire is newWire for an answer that is carried, whose memory comes back once it is
// encoded: thousands a second would have the garbage collector run for them.
func takeWire(subtotals int) wire {
	if kept, ok := wires.Get().(*wire); ok {
		return slices.Grow((*kept)[:0], wireAnswerRoom+subtotals*wireSubtotalRoom)
	}
	return newWire(subtotals)
}

// giveWire takes back the memory of a message that was encoded, if it carries any.
func giveWire(message any) {
	var m protoreflect.Message
	switch message := message.(type) { // those that takeWire is for
	case *tollwayv1.SubtotalServiceGetResponse:
		m = message.ProtoReflect()
	case *tollwayv1.SubtotalServiceListResponse:
		m = message.ProtoReflect()
	case *tollwayv1.SubtotalServiceWatchResponse:
		m = message.ProtoReflect()
	default:
		return
	}
	if w := wire(m.GetUnknown()); cap(w) > 0 && cap(w) <= wireKeptMax {
		m.SetUnknown(nil)
		wires.Put(&w)
	}
}

func (w *wire) tag(field protowire.Number, t protowire.Type) { *w = protowire.AppendTag(*w, field, t) }

func (w *wire) text(field protowire.Number, text string) {
	if text != "" {
		w.tag(field, protowire.BytesType)
		*w = protowire.AppendString(*w, text)
	}
}

func (w *wire) number(field protowire.Number, n uint64) {
	if n != 0 {
		w.tag(field, protowire.VarintType)
		*w = protowire.AppendVarint(*w, n)
	}
}

func (w *wire) flag(field protowire.Number, on bool) {
	if on {
		w.number(field, 1)
	}
}

// open begins a field that has its length in front, and close ends it.
func (w *wire) open(field protowire.Number) (at int) {
	w.tag(field, protowire.BytesType)
	*w = append(*w, 0) // of a length that is below 128, as most are
	return len(*w)
}

func (w *wire) close(at int) {
	n := len(*w) - at
	if more := protowire.SizeVarint(uint64(n)) - 1; more > 0 {
		*w = slices.Grow(*w, more)[:len(*w)+more]
		copy((*w)[at+more:], (*w)[at:at+n])
	}
	protowire.AppendVarint((*w)[:at-1], uint64(n))
}

func (w *wire) time(field protowire.Number, t time.Time) {
	if t.IsZero() {
		return
	}
	at := w.open(field)
	w.number(1, uint64(t.Unix())) // of a time before 1970 as well: that is its two's complement
	w.number(2, uint64(t.Nanosecond()))
	w.close(at)
}

func (w *wire) period(field protowire.Number, p billing.Period) {
	at := w.open(field)
	id := w.open(1)
	*w = p.Start.AppendFormat(*w, time.DateOnly)
	w.close(id)
	w.time(2, p.Start)
	w.time(3, p.End)
	w.close(at)
}

func (w *wire) totals(field protowire.Number, totals []query.Total) {
	if len(totals) > 1 {
		for _, m := range totalsOut(totals) {
			w.money(field, m.GetAmount(), m.GetCurrency())
		}
		return
	}
	for i := range totals {
		w.money(field, totals[i].AmountText, string(totals[i].Currency))
	}
}

func (w *wire) money(field protowire.Number, amount, currency string) {
	at := w.open(field)
	w.text(1, amount)
	w.text(2, currency)
	w.close(at)
}

func (w *wire) asOf(field protowire.Number, a query.AsOf) {
	at := w.open(field)
	for i := range a.Positions {
		p := &a.Positions[i]
		position := w.open(1)
		w.text(1, p.Stream)
		w.number(2, uint64(uint32(p.Partition)))
		w.number(3, p.Sequence)
		w.close(position)
	}
	w.time(2, a.Watermark)
	w.number(3, a.CatalogRevision)
	w.text(4, positionToken(a.Positions))
	w.close(at)
}

// subtotals writes rows.
func (w *wire) subtotals(field protowire.Number, rows []query.Subtotal) {
	from, to := 0, 0 // of the period in the row before, with its tag: most rows have the same
	for i := range rows {
		s := &rows[i]
		at := w.open(field)
		id := w.open(1)
		*w = appendSubtotalID(*w, s)
		w.close(id)
		w.text(2, string(s.Account))
		w.text(3, s.Subscription)
		w.text(4, s.Tariff)
		w.text(5, s.Meter)
		w.text(6, string(s.Currency))
		first := len(*w)
		if i > 0 && s.Period == rows[i-1].Period {
			*w = append(*w, (*w)[from:to]...)
		} else {
			w.period(7, s.Period)
		}
		length := len(*w) - first
		for _, f := range s.Group {
			entry := w.open(8)
			w.text(1, f.Key)
			w.text(2, f.Text)
			w.close(entry)
		}
		for j := range s.Lines {
			w.line(9, &s.Lines[j])
		}
		w.text(10, s.AmountText)
		w.number(11, s.Events)
		w.time(12, s.LastEventTime)
		w.flag(13, s.Final)
		w.time(14, s.Version)
		w.text(15, s.Module)
		before := len(*w)
		w.close(at)
		from = first + len(*w) - before // close has moved it where its length is long
		to = from + length
	}
}

func (w *wire) line(field protowire.Number, l *query.Line) {
	at := w.open(field)
	w.text(1, l.ID)
	w.text(2, l.Description)
	quantity := w.open(3)
	*w, _ = l.Quantity.AppendText(*w) // it has no error
	w.close(quantity)
	w.text(4, l.AmountText)
	w.close(at)
}

// appendSubtotalID appends what [subtotalID] returns.
func appendSubtotalID(b []byte, s *query.Subtotal) []byte {
	const usual = 256
	var room [usual]byte
	var at [len(time.RFC3339Nano)]byte
	key := appendPart(room[:0], s.Account)
	key = appendPart(key, s.Subscription)
	key = appendPart(key, s.Tariff)
	key = appendPart(key, s.Version.UTC().AppendFormat(at[:0], time.RFC3339Nano))
	key = appendPart(key, s.Period.Start.UTC().AppendFormat(at[:0], time.RFC3339Nano))
	for _, f := range s.Group {
		key = appendPart(key, f.Key)
		key = appendPart(key, f.Text)
	}
	sum := sha256.Sum256(key)
	return hex.AppendEncode(b, sum[:subtotalIDLen])
}

// accountWire is the answer of Get.
func accountWire(account string, answer *query.Subtotals) *tollwayv1.SubtotalServiceGetResponse {
	w := takeWire(len(answer.Subtotals))
	w.text(1, account)
	if len(answer.Subtotals) > 0 {
		w.period(2, answer.Subtotals[0].Period)
	}
	w.totals(3, answer.Totals)
	w.subtotals(4, answer.Subtotals)
	w.flag(5, allFinal(answer.Subtotals))
	w.asOf(6, answer.AsOf)
	return carry(&tollwayv1.SubtotalServiceGetResponse{}, w)
}

// listWire is the answer of List.
func listWire(answer *query.Subtotals, next string) *tollwayv1.SubtotalServiceListResponse {
	w := takeWire(len(answer.Subtotals))
	w.subtotals(1, answer.Subtotals)
	w.totals(2, answer.Totals)
	w.text(3, next)
	w.asOf(4, answer.AsOf)
	w.flag(5, answer.Moved)
	return carry(&tollwayv1.SubtotalServiceListResponse{}, w)
}

// watchWire is a message of Watch. What many are told of the same change is written
// once.
func watchWire(event tollwayv1.WatchEvent, part *query.Subtotals, resume string) *tollwayv1.SubtotalServiceWatchResponse {
	told := part.Encoded(query.EncodingBinary, watchRows)
	w := slices.Grow(takeWire(0), len(told)+len(resume)+wireTokenRoom)
	w.number(1, uint64(event))
	w = append(w, told...)
	w.text(5, resume)
	return carry(&tollwayv1.SubtotalServiceWatchResponse{}, w)
}

// watchRows are the fields of a message of Watch that say what has changed.
func watchRows(part *query.Subtotals) []byte {
	w := newWire(len(part.Subtotals))
	w.subtotals(2, part.Subtotals)
	w.totals(3, part.Totals)
	w.asOf(4, part.AsOf)
	return w
}
