package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrUnavailable reports that NATS could not be asked or did not answer. What
	// was being written may or may not have been; trying again is right.
	ErrUnavailable = errors.New("NATS is not available")
	// ErrConflict reports that something else stands where a guarded message was
	// to go.
	ErrConflict = errors.New("another message was written there first")
	// ErrFenced reports that another host has claimed this log.
	ErrFenced = errors.New("another host owns this log")
	// ErrNotFound reports a message or plugin that is not there.
	ErrNotFound = errors.New("not found")
)

// GapError reports a hole in a stream: the message at Expected does not exist
// although later ones do.
type GapError struct {
	Stream   string
	Expected uint64 // the first sequence that is missing
	Got      uint64 // the first one behind the hole
}

// Error says which messages are missing.
func (e *GapError) Error() string {
	return fmt.Sprintf("stream %s has a gap: message %d is missing, the next one is %d; the events between are lost unless the stream is restored from a backup",
		e.Stream, e.Expected, e.Got)
}

// StreamChangedError reports a stream that is not, or no longer, the log that
// was being read.
type StreamChangedError struct {
	Stream   string
	Position uint64 // last sequence that was read
	Last     uint64 // last sequence that the stream has now
	Reason   string // a clause: "it ends at 40"
}

// Error says what is different and what to do.
func (e *StreamChangedError) Error() string {
	return fmt.Sprintf("stream %s is not the log that was read up to %d: %s; restore the stream from a backup: docs/recovery.md says what can be done",
		e.Stream, e.Position, e.Reason)
}

// OwnedError reports that another data directory has claimed the log.
type OwnedError struct {
	StoreID string    // of the data directory that owns it
	Host    string    // where that was in use
	Epoch   uint64    // of its claim
	Since   time.Time // of its claim
	Asked   string    // the data directory that wanted it
}

// Error says who owns the log and what to do.
func (e *OwnedError) Error() string {
	return fmt.Sprintf("these streams belong to data directory %s, in use on host %s since %s (epoch %d), not to data directory %s: "+
		"start with --data naming that directory, or, if it is lost or its host must be replaced, start with --take-over, which the ledger records",
		e.StoreID, e.Host, e.Since.UTC().Format(time.RFC3339), e.Epoch, e.Asked)
}

// Problem is one setting of a stream that must not be as it is.
type Problem struct {
	Stream, Setting, Found, Wanted string
	Why                            string // what would go wrong
	Fix                            string // what to do
}

// String renders a problem as one line.
func (p Problem) String() string {
	if p.Setting == "" {
		return fmt.Sprintf("%s: %s; %s", p.Stream, p.Why, p.Fix)
	}
	return fmt.Sprintf("%s: %s is %s, must be %s: %s; %s", p.Stream, p.Setting, p.Found, p.Wanted, p.Why, p.Fix)
}

// StreamsError reports every reason why a set of streams cannot be used.
type StreamsError struct {
	Problems []Problem
}

// Error lists all problems, one per line.
func (e *StreamsError) Error() string {
	var b strings.Builder
	b.WriteString("the streams in NATS cannot be trusted with usage:")
	for _, p := range e.Problems {
		b.WriteString("\n  ")
		b.WriteString(p.String())
	}
	return b.String()
}

// FailedMessage is one message that a Publish could not write.
type FailedMessage struct {
	Index int // in the slice that was passed
	Err   error
}

// PublishError reports which messages of a Publish are not known to be written.
type PublishError struct {
	Total  int
	Failed []FailedMessage
}

// Error names the first failure.
func (e *PublishError) Error() string {
	first := e.Failed[0]
	return fmt.Sprintf("%d of %d messages were not acknowledged, the first of them number %d: %v", len(e.Failed), e.Total, first.Index, first.Err)
}

// Unwrap returns the failures' causes, so that errors.Is finds each.
func (e *PublishError) Unwrap() []error {
	out := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		out[i] = f.Err
	}
	return out
}

// unavailable wraps a cause as ErrUnavailable.
func unavailable(cause error) error { return fmt.Errorf("%w: %w", ErrUnavailable, cause) }

// classify turns an error of the client library into one of this package's: what
// passes becomes ErrUnavailable, and so does the end of the caller's context,
// which errors.Is still finds.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := ctx.Err(); cause != nil {
		return unavailable(cause)
	}
	// What passes when the server is back.
	for _, t := range []error{
		nats.ErrTimeout, nats.ErrNoResponders, nats.ErrConnectionClosed, nats.ErrConnectionReconnecting, nats.ErrDisconnected,
		nats.ErrReconnectBufExceeded, nats.ErrStaleConnection, nats.ErrBadSubscription, context.DeadlineExceeded, io.EOF,
		jetstream.ErrNoStreamResponse, jetstream.ErrConnectionClosed, jetstream.ErrServerShutdown,
	} {
		if errors.Is(err, t) {
			return unavailable(err)
		}
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.Code >= 500 || api.Code == 429) {
		return unavailable(err)
	}
	return err
}

// Error codes of JetStream that this package acts on.
const (
	codeWrongLastSequence         = jetstream.JSErrCodeStreamWrongLastSequence
	codeWrongLastSequenceConstant = jetstream.JSErrCodeStreamWrongLastSequenceConstant
	codeBatchIncomplete           = 10176 // part of a batch was refused or lost
	codeSubjectOverlap            = 10065
)

// isConflict reports whether the server refused a guard.
func isConflict(err error) bool {
	return hasCode(err, codeWrongLastSequence) || hasCode(err, codeWrongLastSequenceConstant)
}

// hasCode reports whether JetStream answered with an error code.
func hasCode(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}
