package rpc

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sync/errgroup"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
)

// outstandingMax is how many chunks of a stream are taken before the first of
// them is answered. With chunkBytesMax it bounds what a stream holds in memory,
// whatever its caller does.
const outstandingMax = 8

// IngestStream writes chunks to the log. It reads one after the other and hands
// it in; beside it the answers go out in order, as the log gives them. When
// outstandingMax of them are open, nothing more is read, and HTTP/2 holds the
// caller back.
func (s usageService) IngestStream(ctx context.Context, stream tollwayv1connect.UsageServiceIngestStreamServerStream) error {
	group, ctx := errgroup.WithContext(ctx)
	// One chunk is in the hands of each side.
	open := make(chan pendingChunk, outstandingMax-2)
	group.Go(func() error { return s.answerChunks(ctx, stream, open) })

	// When the server stops, no more is read, and what was read is answered.
	reading, release := s.untilDrained(ctx)
	defer release()
	stop := context.AfterFunc(reading, interruptOf(ctx))
	defer stop()
	err := s.readChunks(reading, stream, func(c pendingChunk) bool {
		select {
		case open <- c:
			return true
		case <-ctx.Done(): // nobody answers any more
			return false
		}
	})
	cut := reading.Err()
	close(open)
	if unanswered := group.Wait(); unanswered != nil && (err == nil || cut != nil) {
		return unanswered
	}
	if err != nil && cut != nil {
		return s.ended(cut)
	}
	return err
}

// readChunks takes chunks until the caller sends no more, and has each of them
// answered.
func (s usageService) readChunks(ctx context.Context, stream tollwayv1connect.UsageServiceIngestStreamServerStream, answer func(pendingChunk) bool) error {
	for {
		r, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		chunk, err := s.submit(ctx, r.GetEvents(), r.GetBodies())
		if err != nil {
			return err
		}
		if !answer(chunk) {
			return ctx.Err()
		}
	}
}

// answerChunks tells the caller what became of each chunk.
func (s usageService) answerChunks(ctx context.Context, stream tollwayv1connect.UsageServiceIngestStreamServerStream, open <-chan pendingChunk) error {
	answer := &tollwayv1.UsageServiceIngestStreamResponse{Terms: &tollwayv1.IngestTerms{
		Partitions: uint32(s.engine.Partitions()), OutstandingMax: outstandingMax, ChunkBytesMax: chunkBytesMax,
	}}
	for chunk := range open {
		outcome, err := chunk.wait(ctx)
		if err != nil {
			return err
		}
		answer.Chunk++
		answer.Outcome = outcomeOut(&outcome)
		if err := stream.Send(answer); err != nil {
			return err
		}
		answer.Terms = nil
	}
	return nil
}
