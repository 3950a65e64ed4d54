package billing

import (
	"errors"
	"strconv"
)

// What can go wrong with a number. Operations return these as they are; parsers wrap them in a [ParseError].
var (
	// ErrOverflow: the result lies outside the range of a Decimal.
	ErrOverflow = errors.New("overflow: beyond ±170141183460469231731.687303715884105727")
	// ErrSyntax: the text is not what it should be.
	ErrSyntax = errors.New("invalid syntax")
	// ErrDivideByZero: the divisor is 0.
	ErrDivideByZero = errors.New("division by zero")
	// ErrTooPrecise: the text has a digit other than 0 behind the 18th decimal place.
	ErrTooPrecise = errors.New("more than 18 decimal places")
	// ErrInexact: rounding mode none was asked for, and the exact result needs more than 18 decimal places.
	ErrInexact = errors.New("inexact: the result has more than 18 decimal places and no rounding is named")
	// ErrRounding: the Rounding has an unknown mode or a scale out of range.
	ErrRounding = errors.New("invalid rounding: scale must be -20 to 18, mode one of none, half_up, half_even, floor, ceiling")
)

// ParseError is what the parsers of this package return: which kind of thing the text should have been, the
// text, and why it is not. errors.Is sees the reason.
type ParseError struct {
	What string // "decimal", "currency", "account", "period", "rounding mode"
	Text string // the text as given
	Err  error  // ErrSyntax, ErrOverflow, ErrTooPrecise, or a reason of the kind's own
}

// Error names kind, text and reason: `decimal "1,5": invalid syntax`. Long text is cut.
func (e *ParseError) Error() string {
	text := e.Text
	const shownMax = 64
	if len(text) > shownMax {
		text = text[:shownMax] + "…"
	}
	return e.What + " " + strconv.Quote(text) + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *ParseError) Unwrap() error { return e.Err }
