// Package billing is the vocabulary of Tollway: the plain values that producers, tariffs, the engine and its
// clients share. It has no clock, does no I/O, knows no other package of ours, and is compiled into every tariff,
// so it keeps to a handful of small standard packages.
//
// # Numbers
//
// [Decimal] is a signed 128-bit integer counted in units of 10^-18. [Amount] is money, [Quantity] is usage; they are
// Decimals of types of their own. Three rules hold everywhere:
//
//   - Nothing wraps around: an operation whose result does not fit returns [ErrOverflow].
//   - Nothing is rounded by accident: Mul, Quo and Round take a [Rounding], compute exactly, and round once. The
//     zero Rounding refuses to drop a digit ([ErrInexact]).
//   - Text is exact both ways: [ParseDecimal] refuses what it cannot hold, [Decimal.String] prints every digit, and
//     JSON carries decimals as strings.
//
// A [Currency] is an ISO 4217 code; [Currency.Digits] is the scale of its minor unit.
//
// # Usage
//
// A [UsageEvent] is what a producer sends: identity (source and id), type, account, time and data. An [AccountID] is any
// text; [AccountID.Token] is its form in a NATS subject, and [Partition] says which partition owns it.
//
// # Time
//
// A [Period] is a half-open span [Start, End). A [Calendar] divides time into billing months that start on an anchor
// day in an IANA time zone. Whatever the zone's clocks do, each instant lies in exactly one period.
package billing
