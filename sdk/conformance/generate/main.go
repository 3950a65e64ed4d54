// Command generate writes the shared cases of decimal arithmetic. Its numbers are integers of math/big, counted in
// units of 10^-18, and its roundings are written the slow and obvious way; it shares no code with an SDK. The same
// program writes the same bytes.
//
//	go run ./sdk/conformance/generate > sdk/conformance/decimals.jsonl
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"os"

	"github.com/tollway/tollway/sdk/conformance"
)

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1) //nolint:forbidigo // the exit code of a command
	}
}

// write writes all cases.
func write(w io.Writer) error {
	g := &generator{random: rand.New(rand.NewPCG(1, 18))}
	g.unary()
	g.pairs()
	g.words()
	g.ties()
	g.drawn()
	g.sums()
	g.parse()
	g.format()
	g.refusals()
	out := bufio.NewWriter(w)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for i := range g.cases {
		if err := encoder.Encode(&g.cases[i]); err != nil {
			return err
		}
	}
	return out.Flush()
}

// generator collects the cases.
type generator struct {
	random *rand.Rand
	cases  []conformance.Case
}

var modes = []string{"none", "half_up", "half_even", "floor", "ceiling"}

// scales are those that cases round to: the ends of the range, and around what money is counted in.
var scales = []int{-20, -3, -1, 0, 2, 6, 17, 18}

// edges are the operands around which an implementation in words goes wrong.
func edges() []*big.Int {
	list := []*big.Int{new(big.Int)}
	near := func(n *big.Int, by ...int64) {
		for _, d := range by {
			m := new(big.Int).Add(n, big.NewInt(d))
			list = append(list, m, new(big.Int).Neg(m))
		}
	}
	near(big.NewInt(0), 1)                                       // the smallest
	near(power(10, 18), 0, -1)                                   // 1
	near(power(2, 63), 0)                                        // the sign bit of a word
	near(power(2, 64), 0, -1)                                    // the carry out of a word
	near(new(big.Int).Mul(power(2, 64), power(10, 9)), 1)        // two words
	near(power(2, 126), 0)                                       // twice this is too much
	near(power(2, 127), -1)                                      // the largest
	near(new(big.Int).Mul(big.NewInt(25), power(10, 17)), 0)     // 2.5, a tie
	near(new(big.Int).Mul(big.NewInt(13_043), power(10, 15)), 0) // the root of the largest, in units
	return append(list, least())
}

func least() *big.Int   { return new(big.Int).Neg(power(2, 127)) }
func largest() *big.Int { return new(big.Int).Sub(power(2, 127), big.NewInt(1)) }

func (g *generator) add(c conformance.Config, s conformance.Step) {
	g.cases = append(g.cases, conformance.Case{Config: c, Step: s})
}

// one adds a case of an operation whose exact result, in units of 10^-18, is given.
func (g *generator) one(c conformance.Config, a, b *big.Int, exact *big.Rat) {
	s := conformance.Step{A: text(a)}
	if b != nil {
		s.B = text(b)
	}
	s.Want, s.Error = result(exact, c)
	g.add(c, s)
}

// plain is the configuration of an operation that rounds nothing.
func plain(operation string) conformance.Config { return conformance.Config{Operation: operation} }

// rounded is the configuration of an operation that rounds.
func (g *generator) rounded(operation string) conformance.Config {
	c := conformance.Config{Operation: operation, Mode: modes[g.random.IntN(len(modes))]}
	if c.Mode != "none" {
		c.Scale = scales[g.random.IntN(len(scales))]
	}
	return c
}

// unary adds the operations on one number, at each edge, with every rounding.
func (g *generator) unary() {
	for _, a := range edges() {
		g.one(plain("neg"), a, nil, whole(new(big.Int).Neg(a)))
		g.one(plain("abs"), a, nil, whole(new(big.Int).Abs(a)))
		for _, mode := range modes[1:] {
			for _, scale := range scales {
				g.one(conformance.Config{Operation: "round", Scale: scale, Mode: mode}, a, nil, whole(a))
			}
		}
	}
	g.one(plain("round"), largest(), nil, whole(largest()))
}

// pairs adds the operations on two numbers, at each pair of edges.
func (g *generator) pairs() {
	for _, a := range edges() {
		for _, b := range edges() {
			g.one(plain("add"), a, b, whole(new(big.Int).Add(a, b)))
			g.one(plain("sub"), a, b, whole(new(big.Int).Sub(a, b)))
			g.one(plain("compare"), a, b, whole(new(big.Int).Mul(big.NewInt(int64(a.Cmp(b))), power(10, 18))))
			g.product(g.rounded("mul"), a, b)
			g.quotient(g.rounded("quo"), a, b)
		}
	}
}

// words adds operations around the places where an implementation leaves the ways that take 64 bits for the long ones:
// operands and products of a word, quotients of two small or two whole numbers, and the scales from which it does.
func (g *generator) words() {
	operands := []*big.Int{big.NewInt(3), power(10, 17), new(big.Int).Mul(big.NewInt(7), power(10, 18))}
	for _, n := range []*big.Int{power(2, 63), power(2, 64), new(big.Int).Mul(power(2, 32), power(10, 18))} {
		for _, by := range []int64{-1, 0, 1} {
			operands = append(operands, new(big.Int).Add(n, big.NewInt(by)))
		}
	}
	// Products with 1 and around it, beside which 2^64 units are the quotient by the surplus scale, and whole numbers.
	factors := []*big.Int{
		new(big.Int).Sub(power(10, 18), big.NewInt(1)), power(10, 18), new(big.Int).Add(power(10, 18), big.NewInt(1)),
		big.NewInt(5), new(big.Int).Mul(big.NewInt(365), power(10, 18)),
	}
	for _, mode := range modes {
		for _, scale := range []int{-1, 0, 1, 17, 18} {
			for k, a := range operands {
				b := factors[g.random.IntN(len(factors))]
				if mode == "none" && scale != 0 {
					continue // it has no scale
				}
				c := conformance.Config{Mode: mode, Scale: scale}
				if k%2 == g.random.IntN(2) {
					a = new(big.Int).Neg(a)
				}
				if g.random.IntN(3) == 0 {
					b = new(big.Int).Neg(b)
				}
				c.Operation = "mul"
				g.product(c, a, b)
				c.Operation = "quo"
				g.quotient(c, a, b)
				g.quotient(c, b, a)
				c.Operation = "round"
				g.one(c, a, nil, whole(a))
			}
		}
	}
	for _, a := range operands {
		for _, b := range operands {
			negative := new(big.Int).Neg(b)
			g.one(plain("add"), a, b, whole(new(big.Int).Add(a, b)))
			g.one(plain("sub"), a, b, whole(new(big.Int).Sub(a, b)))
			g.one(plain("compare"), a, b, whole(new(big.Int).Mul(big.NewInt(int64(a.Cmp(b))), power(10, 18))))
			g.one(plain("compare"), negative, a, whole(new(big.Int).Neg(power(10, 18))))
			g.quotient(g.rounded("quo"), a, b)
			g.quotient(conformance.Config{Operation: "quo", Scale: 18, Mode: modes[1+g.random.IntN(4)]}, negative, a)
		}
	}
}

func (g *generator) product(c conformance.Config, a, b *big.Int) {
	g.one(c, a, b, product(a, b))
}

func (g *generator) quotient(c conformance.Config, a, b *big.Int) {
	if b.Sign() == 0 {
		g.add(c, conformance.Step{A: text(a), B: text(b), Error: "division_by_zero"})
		return
	}
	exact := new(big.Rat).SetFrac(a, b)
	g.one(c, a, b, exact.Mul(exact, whole(power(10, 18))))
}

// ties adds results that lie in the middle between two that can be kept, and right beside it: of round, of products
// and of quotients.
func (g *generator) ties() {
	for _, mode := range modes[1:] {
		for _, scale := range scales[:len(scales)-1] {
			step := power(10, 18-scale) // of the last kept digit
			for _, odd := range []int64{1, 3, 5, -1, -3, -5} {
				middle := new(big.Int).Mul(step, big.NewInt(odd))
				middle.Quo(middle, big.NewInt(2)) // step is even
				for _, beside := range []int64{-1, 0, 1} {
					a := new(big.Int).Add(middle, big.NewInt(beside))
					if a.CmpAbs(largest()) > 0 {
						continue
					}
					c := conformance.Config{Operation: "round", Scale: scale, Mode: mode}
					g.one(c, a, nil, whole(a))
					c.Operation = "quo"
					g.quotient(c, a, power(10, 18))
					c.Operation = "mul"
					if half := new(big.Int).Quo(a, big.NewInt(2)); beside == 0 {
						g.product(c, half, new(big.Int).Mul(big.NewInt(2), power(10, 18)))
						g.product(c, a, new(big.Int).Sub(power(10, 18), big.NewInt(1))) // a shade below
					}
				}
			}
		}
	}
}

// counts are divisors of mul_quo and sum: days, and the ends of the range.
var counts = []int64{1, 3, 7, 30, 31, 365, 1_000_000_007, 1<<63 - 1}

// drawn adds operations on numbers of every size.
func (g *generator) drawn() {
	const perOperation = 250
	for range perOperation {
		a, b := g.number(), g.number()
		g.product(g.rounded("mul"), a, b)
		g.quotient(g.rounded("quo"), a, b)
		c := g.rounded("mul_quo")
		c.N = counts[g.random.IntN(len(counts))]
		exact := product(a, b)
		g.one(c, a, b, exact.Quo(exact, new(big.Rat).SetInt64(c.N)))
	}
}

// number draws one of up to 127 bits, each length as likely as the others.
func (g *generator) number() *big.Int {
	hi, lo := new(big.Int).SetUint64(g.random.Uint64()), new(big.Int).SetUint64(g.random.Uint64())
	n := hi.Lsh(hi, 64).Or(hi, lo)
	n.Rsh(n, uint(1+g.random.IntN(127)))
	if g.random.IntN(2) == 0 {
		n.Neg(n)
	}
	return n
}

// sums adds slots that sum products: what is rejected on the way leaves the sum as it was.
func (g *generator) sums() {
	ends := [][2]*big.Int{{least(), least()}, {least(), largest()}, {largest(), largest()}, {big.NewInt(1), big.NewInt(-1)}}
	bound := power(2, 255)
	for k := range 40 {
		c := g.rounded("sum")
		c.N = counts[g.random.IntN(len(counts))]
		sum := new(big.Int)
		var steps []conformance.Step
		for range 2 + g.random.IntN(6) {
			a, b := g.number(), g.number()
			if k%2 == 0 && g.random.IntN(2) == 0 {
				pair := ends[g.random.IntN(len(ends))]
				a, b = pair[0], pair[1]
			}
			s := conformance.Step{A: text(a), B: text(b)}
			next := new(big.Int).Mul(a, b)
			next.Add(next, sum)
			if next.Cmp(bound) >= 0 || next.Cmp(new(big.Int).Neg(bound)) < 0 {
				s.Error = "overflow"
			} else {
				divisor := new(big.Int).Mul(power(10, 18), big.NewInt(c.N))
				s.Want, s.Error = result(new(big.Rat).SetFrac(next, divisor), c)
			}
			if s.Error == "" {
				sum = next
			}
			steps = append(steps, s)
		}
		g.cases = append(g.cases, conformance.Case{Config: c, Steps: steps})
	}
}

// refusals adds roundings that there are not, and counts that nothing is divided by.
func (g *generator) refusals() {
	for _, operation := range []string{"mul", "quo", "round", "mul_quo", "sum"} {
		for _, scale := range []int{-21, 19} {
			c := conformance.Config{Operation: operation, Scale: scale, Mode: "half_up", N: 1}
			g.add(c, conformance.Step{A: "1", B: "1", Error: "invalid_rounding"})
		}
	}
	for _, operation := range []string{"mul_quo", "sum"} {
		for _, n := range []int64{0, -1} {
			c := conformance.Config{Operation: operation, Scale: 2, Mode: "half_up", N: n}
			g.add(c, conformance.Step{A: "1", B: "1", Error: "division_by_zero"})
		}
	}
}
