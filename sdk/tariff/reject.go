package tariff

import (
	"errors"
	"runtime"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

// Rejection is the error with which a tariff says that it does not price an event. The event
// becomes a dead letter with this reason; its slot stays as it was.
type Rejection struct {
	// Reason is for machines: [a-z][a-z0-9_]{0,62}.
	Reason string
	// Detail is for people, best at most 120 bytes.
	Detail string
}

// Error is reason and detail.
func (r *Rejection) Error() string { return r.Reason + ": " + r.Detail }

// Reject returns the error that rejects an event, to be returned from Price.
func Reject(reason, detail string) error { return &Rejection{reason, detail} }

// reasonError is the reason for an error that is none of the known ones.
const reasonError = "tariff_error"

// rejection tells an error from Price as a rejection.
func rejection(err error) (reason, detail string) {
	var r *Rejection
	switch {
	case errors.As(err, &r):
		if !abi.ValidName(r.Reason) {
			return reasonError, "reason " + r.Reason + " is not of the form [a-z][a-z0-9_]{0,62}: " + r.Detail
		}
		return r.Reason, r.Detail
	case errors.Is(err, billing.ErrOverflow):
		return abi.ReasonOverflow, err.Error()
	case errors.Is(err, billing.ErrDivideByZero):
		return "division_by_zero", err.Error()
	case errors.Is(err, billing.ErrInexact):
		return "inexact", err.Error()
	}
	return reasonError, err.Error()
}

// panicText says what a recovered panic was about. Values of other types than these could print
// addresses, which differ from run to run.
func panicText(value any) string {
	switch v := value.(type) {
	case runtime.Error:
		return v.Error()
	case error:
		return v.Error()
	case string:
		return v
	}
	return "panic with a value that is neither an error nor a string"
}
