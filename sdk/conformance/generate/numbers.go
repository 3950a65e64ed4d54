package main

import (
	"math/big"
	"strings"

	"github.com/tollway/tollway/sdk/conformance"
)

// power returns base^n.
func power(base int64, n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(base), big.NewInt(int64(n)), nil)
}

// whole is an integer as a fraction.
func whole(n *big.Int) *big.Rat { return new(big.Rat).SetInt(n) }

// product is a * b in units of 10^-18.
func product(a, b *big.Int) *big.Rat {
	return new(big.Rat).SetFrac(new(big.Int).Mul(a, b), power(10, 18))
}

// result is what an operation answers whose exact result, in units of 10^-18, is given: a text or the kind of error.
func result(exact *big.Rat, c conformance.Config) (want, problem string) {
	step := big.NewInt(1) // of the last digit that is kept
	if c.Mode != "" && c.Mode != "none" {
		step = power(10, 18-c.Scale)
	}
	count := new(big.Rat).Quo(exact, whole(step))
	if !count.IsInt() && (c.Mode == "" || c.Mode == "none") {
		return "", "inexact"
	}
	n := new(big.Int).Mul(round(count, c.Mode), step)
	if n.Cmp(least()) < 0 || n.Cmp(largest()) > 0 {
		return "", "overflow"
	}
	return text(n), ""
}

// round returns the integer that x is rounded to.
func round(x *big.Rat, mode string) *big.Int {
	floor, _ := new(big.Int).DivMod(x.Num(), x.Denom(), new(big.Int))
	if x.IsInt() {
		return floor
	}
	ceiling := new(big.Int).Add(floor, big.NewInt(1))
	half := new(big.Rat).Sub(x, whole(floor)).Cmp(big.NewRat(1, 2))
	up := false
	switch mode {
	case "ceiling":
		up = true
	case "half_up":
		up = half > 0 || half == 0 && x.Sign() > 0
	case "half_even":
		up = half > 0 || half == 0 && floor.Bit(0) == 1
	}
	if up {
		return ceiling
	}
	return floor
}

// text is the shortest text of n units of 10^-18.
func text(n *big.Int) string { return fixed(n, 0) }

// fixed is the text of n units of 10^-18 with at least scale decimal places.
func fixed(n *big.Int, scale int) string {
	digits := new(big.Int).Abs(n).String()
	if missing := 19 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	integer, fraction := digits[:len(digits)-18], strings.TrimRight(digits[len(digits)-18:], "0")
	if missing := scale - len(fraction); missing > 0 {
		fraction += strings.Repeat("0", missing)
	}
	sign := ""
	if n.Sign() < 0 {
		sign = "-"
	}
	if fraction == "" {
		return sign + integer
	}
	return sign + integer + "." + fraction
}
