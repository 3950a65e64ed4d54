package main

import (
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/tollway/tollway/sdk/conformance"
)

var decimalText = regexp.MustCompile(`^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$`)

// read is what parse answers: the value in units of 10^-18, or the kind of error. Exponents are short enough here
// to be computed.
func read(s string) (n *big.Int, problem string) {
	parts := decimalText.FindStringSubmatch(s)
	if parts == nil {
		return nil, "syntax"
	}
	n, _ = new(big.Int).SetString(parts[2]+parts[3], 10)
	if n.Sign() == 0 {
		return n, ""
	}
	exponent := 0
	if parts[4] != "" {
		// What does not fit an int comes back as the nearest that does.
		exponent, _ = strconv.Atoi(parts[4])
		exponent = min(max(exponent, -1_000_000), 1_000_000)
	}
	shift := exponent - len(parts[3]) + 18
	if shift >= 0 {
		n.Mul(n, power(10, min(shift, 200))) // beyond, it is too much anyway
	} else {
		remainder := new(big.Int)
		n.QuoRem(n, power(10, min(-shift, 20_000)), remainder)
		if remainder.Sign() != 0 {
			return nil, "too_precise"
		}
	}
	if parts[1] == "-" {
		n.Neg(n)
	}
	if n.Cmp(least()) < 0 || n.Cmp(largest()) > 0 {
		return nil, "overflow"
	}
	return n, ""
}

// parse adds texts of numbers and of things that look like them.
func (g *generator) parse() {
	list := []string{
		"0", "-0", "00", "0.0", "-0.000", "0e5", "0e-30", "0e99999", "1", "-1", "007", "12.50", "0.5", "-0.5", "1.25e-3", "1.25E-3",
		"1e0", "1e+2", "1E2", "12e-1", "1e20", "-1e20", "1e21", "17e19", "18e19", "1e-18", "1e-19", "10e-19", "15e-19", "0.1e-17", "0.1e-18",
		"0.000000000000000001", "0.0000000000000000010", "0.0000000000000000001", "1.0000000000000000001", "1.00000000000000000000000000",
		"170141183460469231731.687303715884105727", "170141183460469231731.687303715884105728", "-170141183460469231731.687303715884105728",
		"-170141183460469231731.687303715884105729", "170141183460469231732", "340282366920938463463.374607431768211455", "340282366920938463463.374607431768211456",
		"17014118346046923173168730371588410572.7e-17", "170141183460469231731687303715884105727e-18", "170141183460469231731687303715884105728e-18",
		"99999999999999999999", "100000000000000000000", "999999999999999999999", "123456789012345678901234567890", "18446744073709551615", "18446744073709551616",
		"1e99999", "1e-99999", "-1e99999", "1e99999999999999999999", "1e-99999999999999999999", "0e99999999999999999999",
		"", "-", "+1", "+", ".", ".5", "-.5", "5.", "1.", "1.e5", "1e", "1e+", "1e-", "e5", "1e5.0", "1e5e5", "1.2.3", "1,5", "1 000", " 1", "1 ", "1_000", "--1", "-+1",
		"0x10", "1f", "NaN", "nan", "Infinity", "inf", "1d", "½", "١٢", "1\u00a0000", "12a", "a12", "1-", "1e1-", "\x00", "1\x00", "1\n", "−1", "1'000", "$1", "1%", "(1)",
		"1" + strings.Repeat("0", 500) + "e-500", "0." + strings.Repeat("0", 500) + "1e501", strings.Repeat("0", 1000) + "7", "3." + strings.Repeat("0", 1000),
		"1" + strings.Repeat("0", 1000), "0." + strings.Repeat("0", 1000) + "1", strings.Repeat("9", 200) + "x", "1" + strings.Repeat(".", 50),
	}
	for range 120 {
		list = append(list, g.numeral())
	}
	for _, s := range list {
		step := conformance.Step{Text: s}
		var n *big.Int
		if n, step.Error = read(s); n != nil {
			step.Want = text(n)
		}
		g.add(plain("parse"), step)
	}
}

// numeral draws a text that is a number, or nearly one.
func (g *generator) numeral() string {
	b := []byte(text(g.number()))
	switch g.random.IntN(4) {
	case 0:
		b = strconv.AppendInt(append(b, 'e'), int64(g.random.IntN(41)-20), 10)
	case 1:
		const odd = "0123456789.-+eE "
		b[g.random.IntN(len(b))] = odd[g.random.IntN(len(odd))]
	case 2:
		b = append(b, "000"...)
	}
	return string(b)
}

// format adds the texts of numbers.
func (g *generator) format() {
	numbers := edges()
	for range 60 {
		numbers = append(numbers, g.number())
	}
	for k, a := range numbers {
		for _, scale := range []int{0, 2, 18} {
			if scale == 0 || k%3 == 0 {
				c := conformance.Config{Operation: "format", Scale: scale}
				g.add(c, conformance.Step{A: text(a), Want: fixed(a, scale)})
			}
		}
	}
}
