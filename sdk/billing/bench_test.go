package billing_test

import (
	"testing"

	"github.com/tollway/tollway/sdk/billing"
)

// The benchmarks call directly, without closures, since they are run in WebAssembly as well, where calls count.

var sink billing.Decimal

var benchQuantities = []string{"3", "1234.5", "99999999999.123456789"}

func BenchmarkAdd(b *testing.B) {
	price := billing.MustDecimal("0.002")
	for _, text := range benchQuantities {
		b.Run(text, func(b *testing.B) {
			d := billing.MustDecimal(text)
			for b.Loop() {
				sum, err := d.Add(price)
				if err != nil {
					b.Fatal(err)
				}
				sink = sum
			}
		})
	}
}

func BenchmarkMul(b *testing.B) {
	for _, r := range []billing.Rounding{{}, {Scale: 10, Mode: billing.RoundHalfUp}, {Scale: 2, Mode: billing.RoundHalfUp}} {
		price := billing.MustDecimal("0.002")
		for _, text := range benchQuantities {
			b.Run(r.Mode.String()+billing.DecimalFromInt(int64(r.Scale)).String()+"/"+text, func(b *testing.B) {
				d := billing.MustDecimal(text)
				for b.Loop() {
					product, err := d.Mul(price, r)
					if err != nil {
						b.Fatal(err)
					}
					sink = product
				}
			})
		}
	}
}

func BenchmarkQuo(b *testing.B) {
	r := billing.Rounding{Scale: 0, Mode: billing.RoundCeiling}
	size := billing.MustDecimal("1000")
	for _, text := range benchQuantities {
		b.Run(text, func(b *testing.B) {
			d := billing.MustDecimal(text)
			for b.Loop() {
				quotient, err := d.Quo(size, r)
				if err != nil {
					b.Fatal(err)
				}
				sink = quotient
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, text := range benchQuantities {
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				d, err := billing.ParseDecimal(text)
				if err != nil {
					b.Fatal(err)
				}
				sink = d
			}
		})
	}
}

func BenchmarkAppendText(b *testing.B) {
	var buffer [64]byte
	for _, text := range benchQuantities {
		b.Run(text, func(b *testing.B) {
			d := billing.MustDecimal(text)
			for b.Loop() {
				if _, err := d.AppendText(buffer[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
