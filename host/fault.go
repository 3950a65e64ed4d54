package host

import "fmt"

// Fault is an error about which the caller can do something.
type Fault struct {
	reason, hint, message string
	cause                 error
}

// Reasons of faults, stable: programs decide by them.
const (
	ReasonInvalidRequest   = "invalid_request"
	ReasonInvalidPeriod    = "invalid_period"
	ReasonPeriodNotEnded   = "period_not_ended"
	ReasonGraceNotOver     = "grace_not_over"
	ReasonReachesBack      = "reaches_back"
	ReasonInvalidPosition  = "invalid_position"
	ReasonInvalidPageToken = "invalid_page_token"
	ReasonNotFound         = "not_found"
	ReasonUnavailable      = "unavailable"
	ReasonInvalidPlugin    = "invalid_plugin"
	ReasonUnsigned         = "unsigned_plugin"
	ReasonBadSignature     = "bad_signature"
	ReasonRevoked          = "revoked_plugin"
	ReasonInvalidShadow    = "invalid_shadow"
	ReasonNotHeld          = "not_held"
	ReasonParked           = "parked"
)

func fault(reason, hint, format string, args ...any) *Fault {
	return &Fault{reason: reason, hint: hint, message: fmt.Sprintf(format, args...)}
}

// because notes what caused a fault.
func (f *Fault) because(err error) *Fault {
	f.cause = err
	return f
}

// Error says what is wrong.
func (f *Fault) Error() string { return f.message }

// Reason is stable and snake_case.
func (f *Fault) Reason() string { return f.reason }

// Hint says what to do; it may be empty.
func (f *Fault) Hint() string { return f.hint }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.cause }
