package rpc

import (
	"bytes"
	"context"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// A page in a browser takes JSON, which costs ten times what binary does. What many
// watches of an account are told of the same change is made JSON of once, and travels
// to the codec as one unknown field of an empty message. No message has a field of its
// number, so that nothing else is taken for it.

// textField carries a message's JSON: the largest number that a field can have.
const textField = protowire.MaxValidNumber

// textHeadRoom is for the tag and the length of what carries a text, bytes.
const textHeadRoom = 16

// carryText makes a message of its JSON, for callers that take JSON.
func carryText[M proto.Message](message M, text []byte) M {
	field := protowire.AppendTag(make([]byte, 0, len(text)+textHeadRoom), textField, protowire.BytesType)
	return carry(message, protowire.AppendBytes(field, text))
}

// textOf returns the JSON that a message carries; nil for one that carries none.
func textOf(message any) []byte {
	m, ok := message.(proto.Message)
	if !ok {
		return nil
	}
	field := m.ProtoReflect().GetUnknown()
	number, kind, n := protowire.ConsumeTag(field)
	if n < 0 || number != textField || kind != protowire.BytesType {
		return nil
	}
	text, n := protowire.ConsumeBytes(field[n:])
	if n < 0 {
		return nil
	}
	return text
}

// How the JSON of a message of Watch that has neither event nor token begins and ends.
const (
	watchTextBegin = `{"event":"WATCH_EVENT_UNSPECIFIED",`
	watchTextEnd   = `"resume_token":""}`
)

// watchText is a message of Watch as JSON, the same as the codec makes of it. What many
// are told of the same change is written once. It is nil should the codec write
// otherwise than is known here.
func watchText(ctx context.Context, event tollwayv1.WatchEvent, part *query.Subtotals, resume string) *tollwayv1.SubtotalServiceWatchResponse {
	told := part.Encoded(query.EncodingJSON, func(part *query.Subtotals) []byte { return watchRowsText(ctx, part) })
	token, err := json.Marshal(resume)
	if told == nil || err != nil {
		return nil
	}
	text := make([]byte, 0, len(watchTextBegin)+len(told)+len(watchTextEnd)+len(token))
	text = append(append(append(text, `{"event":"`...), event.String()...), `",`...)
	text = append(append(append(append(text, told...), `"resume_token":`...), token...), '}')
	return carryText(&tollwayv1.SubtotalServiceWatchResponse{}, text)
}

// watchRowsText are the fields of a message of Watch that say what has changed, each
// with a comma behind it.
func watchRowsText(ctx context.Context, part *query.Subtotals) []byte {
	var whole bytes.Buffer
	if err := newJSONCodec().MarshalWrite(ctx, &whole, watchAnswer(0, part, "")); err != nil {
		return nil // who sends the message is told
	}
	told, begins := bytes.CutPrefix(whole.Bytes(), []byte(watchTextBegin))
	told, ends := bytes.CutSuffix(told, []byte(watchTextEnd))
	if !begins || !ends {
		return nil
	}
	return told
}

// watchAnswer is a message of Watch.
func watchAnswer(event tollwayv1.WatchEvent, part *query.Subtotals, resume string) *tollwayv1.SubtotalServiceWatchResponse {
	return &tollwayv1.SubtotalServiceWatchResponse{
		Event: event, Subtotals: subtotalsOut(part.Subtotals), Totals: totalsOut(part.Totals), AsOf: asOfOut(part.AsOf), ResumeToken: resume,
	}
}
