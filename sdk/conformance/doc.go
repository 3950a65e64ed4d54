// Package conformance holds the cases that the SDKs of all languages agree on: what a decimal number is, and what each
// operation makes of two of them.
//
// decimals.jsonl is the shared file, one case a line. It is made by the command in generate, whose arithmetic is that
// of math/big and shares nothing with an SDK. In each language a small tariff named conformance (see guests) does the
// operation that its parameters name; `make conformance` builds them, runs every case through the engine's own
// loader and compares.
//
// # The tariff conformance
//
// Its parameters are {operation, scale, mode, n}, of which all but the operation may be absent: scale and n are then
// 0, mode is none. It claims the line "result", the dimension "text", and room for an exact sum of products in its
// state. For each event, a is the quantity, b the amount that the event carries, t its value of the dimension:
//
//	parse    the decimal that t is the text of
//	format   rejects the event with the reason "text" and, as the detail, a with at least scale decimal places
//	compare  -1, 0 or 1 as a is less than, equal to or greater than b
//	neg      -a
//	abs      a without its sign
//	add      a + b
//	sub      a - b
//	mul      a * b, rounded
//	quo      a / b, rounded
//	round    a, rounded
//	mul_quo  a * b / n, rounded once
//	sum      (the sum of all a * b of the slot so far) / n, rounded once; the sum itself is exact
//
// The result is the quantity of the line, whose amount stays 0. What has no result is a rejected event, and the slot
// is as before: with the reason overflow, division_by_zero, inexact (mode none, and the result has more than 18
// places), invalid_rounding (a scale that is not -20 to 18), syntax or too_precise (both of parse).
package conformance
