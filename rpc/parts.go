package rpc

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/protobuf/encoding/protowire"
)

// partsMax is how many fields a request may have, or messages where it is JSON: more than
// any method takes. An empty message has two bytes on the wire and a hundred times as many
// in memory, so what bounds a request's bytes does not bound what they are decoded to.
const partsMax = 4 * ingestEventsMax

// checkParts refuses a request that is made of too many parts, before it is decoded.
// Decoding reports whatever else is wrong with it.
func checkParts(src io.Reader, count func([]byte) int) error {
	b, ok := src.(*bytes.Buffer)
	if !ok {
		return fmt.Errorf("rpc: a request is in a %T, and cannot be looked at before it is decoded", src)
	}
	if b.Len() < partsMax { // as most are: each has a byte at least
		return nil
	}
	if count(b.Bytes()) > partsMax {
		return fmt.Errorf("it is made of more than %d parts: send less at a time", partsMax)
	}
	return nil
}

// countFields counts the fields of a binary message itself, up to partsMax and one.
func countFields(b []byte) (n int) {
	for len(b) > 0 && n <= partsMax {
		_, _, size := protowire.ConsumeField(b)
		if size < 0 {
			break
		}
		b = b[size:]
		n++
	}
	return n
}

// countObjects counts the objects of JSON, however deep.
func countObjects(b []byte) (n int) {
	if n = bytes.Count(b, []byte("{")); n <= partsMax {
		return n // some may be in texts
	}
	n = 0
	inText := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			inText = !inText
		case c == '\\' && inText:
			i++
		case c == '{' && !inText:
			n++
		}
	}
	return n
}

// binaryCodec is protobuf's, for requests that are not made of too many parts and answers
// that are written already.
type binaryCodec struct {
	*connectproto.BinaryCodec
}

// UnmarshalRead implements connect.Codec.
func (c binaryCodec) UnmarshalRead(ctx context.Context, src io.Reader, msg any) error {
	if err := checkParts(src, countFields); err != nil {
		return err
	}
	return c.BinaryCodec.UnmarshalRead(ctx, src, msg)
}

// MarshalWrite implements connect.Codec.
func (c binaryCodec) MarshalWrite(ctx context.Context, dst io.Writer, msg any) error {
	err := c.BinaryCodec.MarshalWrite(ctx, dst, msg)
	giveWire(msg)
	return err
}

// UnmarshalRead implements connect.Codec.
func (c jsonCodec) UnmarshalRead(ctx context.Context, src io.Reader, msg any) error {
	if err := checkParts(src, countObjects); err != nil {
		return err
	}
	return c.JSONCodec.UnmarshalRead(ctx, src, msg)
}
