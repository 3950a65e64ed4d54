package rpc

import (
	"context"
	"io"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"

	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
)

// Limits of a request, in bytes after decompression.
const (
	requestBytesMax = 64 << 10  // of every method but those below
	ingestBytesMax  = 8 << 20   // of UsageService.Ingest
	chunkBytesMax   = 2 << 20   // of one chunk of UsageService.IngestStream
	applyBytesMax   = 64 << 20  // of CatalogService.Apply and PluginService.Push: plugins are megabytes
	shadowBytesMax  = 2 << 20   // of PluginService.StartShadow: params may be a table
	settleBytesMax  = 640 << 10 // of DeadLetterService.Replay and Discard: settleNamesMax names, in JSON
	headerBytesMax  = 64 << 10  // of all headers together; a GET's message is among them

	// partBytesMax is that of BackfillService.Send: events that are as many as may be, as
	// JSON has bytes, and the rest of the message.
	partBytesMax = backfillPartMax*4/3 + requestBytesMax
)

// compressBytesMin is the size from which on answers are compressed for callers
// that ask for it: below, it costs more than it saves.
const compressBytesMin = 4 << 10

// bytesMax is the limit of a procedure's request.
func bytesMax(procedure string) int {
	switch procedure {
	case tollwayv1connect.UsageServiceIngestProcedure:
		return ingestBytesMax
	case tollwayv1connect.UsageServiceIngestStreamProcedure:
		return chunkBytesMax
	case tollwayv1connect.CatalogServiceApplyProcedure, tollwayv1connect.PluginServicePushProcedure:
		return applyBytesMax
	case tollwayv1connect.PluginServiceStartShadowProcedure:
		return shadowBytesMax
	case tollwayv1connect.DeadLetterServiceReplayProcedure, tollwayv1connect.DeadLetterServiceDiscardProcedure:
		return settleBytesMax
	case tollwayv1connect.BackfillServiceSendProcedure:
		return partBytesMax
	default:
		return requestBytesMax
	}
}

// transportOptions are the server's: codecs, limits, compression.
func transportOptions() []connecthttp.Option {
	return []connecthttp.Option{
		connecthttp.WithCodecs(binaryCodec{connectproto.NewBinaryCodec()}, newJSONCodec()),
		connecthttp.WithCompressMinBytes(compressBytesMin),
		connecthttp.WithReadMaxBytes(requestBytesMax),
		connecthttp.WithConditionalOptions(func(spec connect.Spec) []connecthttp.Option {
			return []connecthttp.Option{connecthttp.WithReadMaxBytes(bytesMax(spec.Procedure))}
		}),
	}
}

// jsonCodec is JSON as people write and read it by hand: see the package
// comment. The same message is always the same bytes.
type jsonCodec struct {
	*connectproto.JSONCodec
}

func newJSONCodec() jsonCodec {
	codec := connectproto.NewJSONCodec()
	codec.MarshalOptions.UseProtoNames = true
	codec.MarshalOptions.EmitDefaultValues = true
	codec.UnmarshalOptions.DiscardUnknown = false
	return jsonCodec{JSONCodec: codec}
}

// MarshalWrite encodes msg without the random spaces that protobuf's JSON puts
// in to keep people from comparing it.
func (c jsonCodec) MarshalWrite(ctx context.Context, dst io.Writer, msg any) error {
	if text := textOf(msg); text != nil { // it is written already
		_, err := dst.Write(text)
		return err
	}
	return c.MarshalWriteStable(ctx, dst, msg)
}
