package rpc

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/protobuf/proto"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// Fault is what an error of the [Engine] may say about itself. An error
// without a reason is a defect or a failing machine: it reaches the caller as
// internal, with its text.
type Fault interface {
	error
	// Reason is stable and snake_case; see the Reason constants.
	Reason() string
	// Hint says what to do; it may be empty.
	Hint() string
}

// Reasons that errors carry. Programs decide by them, so they never change
// their meaning.
const (
	// ReasonInvalidRequest: a field has a value that cannot be.
	ReasonInvalidRequest = "invalid_request"
	// ReasonMalformedRequest: the body is not the request message.
	ReasonMalformedRequest = "malformed_request"
	// ReasonInvalidPageToken: not a page token or cursor of this request.
	ReasonInvalidPageToken = "invalid_page_token"
	// ReasonInvalidPosition: min_position names no position of this host.
	ReasonInvalidPosition = "invalid_position"
	// ReasonInvalidPeriod: no period of the account or calendar has this id.
	ReasonInvalidPeriod = "invalid_period"
	// ReasonInvalidCatalog: the catalog has mistakes; each is a CatalogProblem.
	ReasonInvalidCatalog = "invalid_catalog"
	// ReasonRequestTooLarge: the request exceeds the method's limit.
	ReasonRequestTooLarge = "request_too_large"
	// ReasonTooManyRows: the answer of a Get would be too long; List pages.
	ReasonTooManyRows = "too_many_rows"
	// ReasonHistoryNotReady: the log is still being read for a history; ask again.
	ReasonHistoryNotReady = "history_not_ready"
	// ReasonHistoryTooLarge: there is too much usage to fold again for a history.
	ReasonHistoryTooLarge = "history_too_large"
	// ReasonTooManyCalls: too many calls of this method are open.
	ReasonTooManyCalls = "too_many_calls"
	// ReasonPositionNotReached: min_position was not reached in time.
	ReasonPositionNotReached = "position_not_reached"
	// ReasonNotFound: there is no such thing.
	ReasonNotFound = "not_found"
	// ReasonPeriodNotEnded: a period that has not ended cannot be closed.
	ReasonPeriodNotEnded = "period_not_ended"
	// ReasonGraceNotOver: late usage may still come for the period.
	ReasonGraceNotOver = "grace_not_over"
	// ReasonPeriodOpen: more invoices may come for the period; each calendar that
	// they may come from is a PeriodStatus.
	ReasonPeriodOpen = "period_open"
	// ReasonReachesBack: a catalog change would price usage anew.
	ReasonReachesBack = "reaches_back"
	// ReasonInvalidPlugin: the bytes are no plugin that this server would load.
	ReasonInvalidPlugin = "invalid_plugin"
	// ReasonUnsigned: no key that the server trusts has signed the plugin.
	ReasonUnsigned = "unsigned_plugin"
	// ReasonBadSignature: the signature does not belong to the plugin.
	ReasonBadSignature = "bad_signature"
	// ReasonRevoked: the plugin, or the key that signed it, is revoked.
	ReasonRevoked = "revoked_plugin"
	// ReasonInvalidShadow: no shadow can be started so.
	ReasonInvalidShadow = "invalid_shadow"
	// ReasonInvalidBackfill: a set of events is not as it must be.
	ReasonInvalidBackfill = "invalid_backfill"
	// ReasonBackfillExists: a set of this name is there, or was committed.
	ReasonBackfillExists = "backfill_exists"
	// ReasonBackfillNotShown: nobody has seen what the set would change.
	ReasonBackfillNotShown = "backfill_not_shown"
	// ReasonNotHeld: the sink holds no such invoice.
	ReasonNotHeld = "not_held"
	// ReasonConflict: another change came first; read again and retry.
	ReasonConflict = "conflict"
	// ReasonUnavailable: the host cannot do it now; retry.
	ReasonUnavailable = "unavailable"
	// ReasonParked: a partition stopped and needs an operator.
	ReasonParked = "parked"
	// ReasonShuttingDown: the host is stopping; retry elsewhere or later.
	ReasonShuttingDown = "shutting_down"
	// ReasonDataLoss: stored data is damaged or missing.
	ReasonDataLoss = "data_loss"
	// ReasonUnauthenticated: the call has no valid bearer token.
	ReasonUnauthenticated = "unauthenticated"
	// ReasonForeignHost: the call names a host that is not this machine.
	ReasonForeignHost = "foreign_host"
	// ReasonForeignOrigin: another web site's page made the call.
	ReasonForeignOrigin = "foreign_origin"
	// ReasonUnknownMethod: the service has no such method.
	ReasonUnknownMethod = "unknown_method"
	// ReasonCanceled: the caller went away.
	ReasonCanceled = "canceled"
	// ReasonDeadlineExceeded: the call's deadline passed.
	ReasonDeadlineExceeded = "deadline_exceeded"
	// ReasonInternal: a defect; the message is for a report.
	ReasonInternal = "internal"
)

// codeOf maps each reason to its Connect code. A reason that is not listed
// comes from an Engine that refuses something deliberately, so the state does
// not allow it.
func codeOf(reason string) connect.Code {
	switch reason {
	case ReasonInvalidRequest, ReasonMalformedRequest, ReasonInvalidPageToken, ReasonInvalidPosition,
		ReasonInvalidPeriod, ReasonInvalidCatalog, ReasonInvalidPlugin, ReasonBadSignature, ReasonInvalidShadow, ReasonInvalidBackfill:
		return connect.CodeInvalidArgument
	case ReasonRequestTooLarge, ReasonTooManyRows, ReasonTooManyCalls, ReasonHistoryTooLarge:
		return connect.CodeResourceExhausted
	case ReasonPositionNotReached, ReasonDeadlineExceeded:
		return connect.CodeDeadlineExceeded
	case ReasonNotFound:
		return connect.CodeNotFound
	case ReasonConflict:
		return connect.CodeAborted
	case ReasonUnavailable, ReasonParked, ReasonShuttingDown, ReasonHistoryNotReady:
		return connect.CodeUnavailable
	case ReasonDataLoss:
		return connect.CodeDataLoss
	case ReasonUnauthenticated:
		return connect.CodeUnauthenticated
	case ReasonForeignHost, ReasonForeignOrigin, ReasonUnsigned, ReasonRevoked:
		return connect.CodePermissionDenied
	case ReasonUnknownMethod:
		return connect.CodeUnimplemented
	case ReasonCanceled:
		return connect.CodeCanceled
	case ReasonInternal:
		return connect.CodeInternal
	default:
		return connect.CodeFailedPrecondition
	}
}

// reasonOf names the errors that Connect itself makes, before a handler runs.
func reasonOf(code connect.Code) string {
	switch code {
	case connect.CodeInvalidArgument, connect.CodeUnimplemented: // the latter: no message, or several, or an unknown compression
		return ReasonMalformedRequest
	case connect.CodeResourceExhausted:
		return ReasonRequestTooLarge
	case connect.CodeCanceled:
		return ReasonCanceled
	case connect.CodeDeadlineExceeded:
		return ReasonDeadlineExceeded
	case connect.CodeUnavailable:
		return ReasonUnavailable
	default:
		return ReasonInternal
	}
}

// fault is an error that this package makes.
type fault struct {
	reason, hint, message string
	cause                 error
}

func (f *fault) Error() string  { return f.message }
func (f *fault) Reason() string { return f.reason }
func (f *fault) Hint() string   { return f.hint }
func (f *fault) Unwrap() error  { return f.cause }

// refuse makes a fault. Give the hint separately: message says what is wrong,
// hint what to do.
func refuse(reason, hint, format string, args ...any) error {
	return &fault{reason: reason, hint: hint, message: fmt.Sprintf(format, args...)}
}

// wireError turns any error into the one that goes out, with an ErrorDetail.
// It is the only place that maps errors to codes.
func wireError(err error) *connect.Error {
	if coded, ok := errors.AsType[*connect.Error](err); ok {
		if len(coded.Details()) > 0 {
			return coded
		}
		return withDetail(coded, reasonOf(coded.Code()), hintOf(coded.Code()))
	}
	if f, ok := errors.AsType[*unconfirmedError](err); ok {
		return withDetail(connect.NewError(codeOf(f.Reason()), err.Error()).WithCause(err), f.Reason(), f.Hint(),
			&tollwayv1.UnconfirmedEvents{Ranges: f.ranges})
	}
	if f, ok := errors.AsType[*openError](err); ok {
		return withDetail(connect.NewError(codeOf(f.Reason()), err.Error()), f.Reason(), f.Hint(), f.details()...)
	}
	if f, ok := errors.AsType[Fault](err); ok {
		return withDetail(connect.NewError(codeOf(f.Reason()), err.Error()).WithCause(err), f.Reason(), f.Hint())
	}
	reason := ReasonInternal
	switch {
	case errors.Is(err, query.ErrInvalid):
		reason = ReasonInvalidRequest
	case errors.Is(err, context.Canceled):
		reason = ReasonCanceled
	case errors.Is(err, context.DeadlineExceeded):
		reason = ReasonDeadlineExceeded
	}
	return withDetail(connect.NewError(codeOf(reason), err.Error()).WithCause(err), reason, "")
}

// hintOf says what to do about errors that Connect itself makes.
func hintOf(code connect.Code) string {
	switch code {
	case connect.CodeInvalidArgument:
		return "the request must match the message in rpc/tollway/v1; all values of data are strings, numbers too: {\"calls\": \"12\"}"
	case connect.CodeResourceExhausted:
		return fmt.Sprintf("Ingest takes %d MiB, IngestStream %d MiB a chunk, Apply and Push %d MiB, a part of a backfill %d MiB, most other methods %d KiB: send less at a time",
			ingestBytesMax>>20, chunkBytesMax>>20, applyBytesMax>>20, backfillPartMax>>20, requestBytesMax>>10)
	default:
		return ""
	}
}

// withDetail adds an ErrorDetail, and further details. Encoding it cannot fail for valid UTF-8, and
// an error without detail is still the error, so a failure only leaves it off.
func withDetail(err *connect.Error, reason, hint string, more ...proto.Message) *connect.Error {
	for _, m := range append([]proto.Message{&tollwayv1.ErrorDetail{Reason: reason, Hint: hint}}, more...) {
		detail, encodeErr := connectproto.NewErrorDetail(m)
		if encodeErr != nil {
			return err.WithCause(encodeErr)
		}
		err = err.WithDetail(detail)
	}
	return err
}
