package deliver

import (
	"errors"
	"math/rand/v2"
	"time"
)

// failure is why a receiver did not take an invoice.
type failure struct {
	kind  failureKind
	after time.Duration // how long the receiver asks to wait; 0: it does not say
	err   error
}

type failureKind uint8

const (
	failedTransient failureKind = iota // it may go better soon
	failedRefused                      // the receiver does not want this invoice as it is
	failedGone                         // the receiver wants no invoices any more
)

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// failureOf returns what is known of why a delivery failed.
func failureOf(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return &failure{err: err}
}

// Pauses between the attempts for one account.
const (
	pauseMin = time.Second
	pauseMax = time.Hour
)

// pause is how long to wait after so many attempts have failed: from a second to an
// hour, doubling, up to a fifth shorter, so that what failed together is not tried
// together. What the receiver refuses as it is waits as long as can be. A receiver
// may ask for longer than the schedule says, up to the longest pause.
func pause(attempts int, f *failure) time.Duration {
	d := pauseMax
	if f.kind == failedTransient && attempts < 13 { // 2^12 s are more than an hour
		d = min(pauseMax, pauseMin<<max(0, attempts-1))
	}
	d = min(pauseMax, max(d, f.after))
	return d - rand.N(d/5)
}
