package billing

// Mul returns d * e, rounded once as r says from the exact product. In mode [RoundNone] a product with more
// than 18 decimal places is [ErrInexact].
func (d Decimal) Mul(e Decimal, r Rounding) (Decimal, error) {
	if err := r.Validate(); err != nil {
		return Decimal{}, err
	}
	dhi, dlo := d.magnitude()
	ehi, elo := e.magnitude()
	return finish(mul128(dhi, dlo, ehi, elo), 2*Scale, restNone, d.Hi^e.Hi < 0, r)
}

// Quo returns d / e, rounded once as r says from the exact quotient. In mode [RoundNone] a quotient with more
// than 18 decimal places is [ErrInexact]. A divisor of 0 is [ErrDivideByZero].
func (d Decimal) Quo(e Decimal, r Rounding) (Decimal, error) {
	if err := r.Validate(); err != nil {
		return Decimal{}, err
	}
	if e.IsZero() {
		return Decimal{}, ErrDivideByZero
	}
	// The scales of d and e cancel; as many digits are put on d as the result is to keep, so that the rest of
	// this one division is the rest of the result.
	places := max(r.scale(), 0)
	dhi, dlo := d.magnitude()
	ehi, elo := e.magnitude()
	quotient, dropped := mul128(dhi, dlo, 0, powers[places].value).divide128(ehi, elo)
	return finish(quotient, places, dropped, d.Hi^e.Hi < 0, r)
}

// Round returns d rounded as r says. Mode [RoundNone] returns d as it is. Rounding up at the end of the range
// can be [ErrOverflow].
func (d Decimal) Round(r Rounding) (Decimal, error) {
	if err := r.Validate(); err != nil {
		return Decimal{}, err
	}
	if r.scale() == Scale {
		return d, nil
	}
	hi, lo := d.magnitude()
	return finish(wide{w1: hi, w0: lo}, Scale, restNone, d.Hi < 0, r)
}

// scale is the number of decimal places that a result rounded by r keeps.
func (r Rounding) scale() int {
	if r.Mode == RoundNone {
		return Scale
	}
	return r.Scale
}

// finish turns an exact magnitude with the given number of decimal places, and behind them what dropped says,
// into a decimal rounded as r says. places is at least r's scale.
func finish(magnitude wide, places int, dropped rest, negative bool, r Rounding) (Decimal, error) {
	scale := r.scale()
	for places > scale {
		step := min(places-scale, Scale)
		var remainder uint64
		magnitude, remainder = magnitude.divPowerOfTen(step)
		dropped = dropped.behind(remainder, powers[step].value)
		places -= step
	}
	if dropped != restNone {
		if r.Mode == RoundNone {
			return Decimal{}, ErrInexact
		}
		if r.Mode.growsMagnitude(negative, magnitude.w0&1 == 1, dropped) {
			magnitude = magnitude.next()
		}
	}
	if !magnitude.fits128() {
		return Decimal{}, ErrOverflow
	}
	hi, lo, ok := mulPowerOfTen(magnitude.w1, magnitude.w0, Scale-scale)
	if !ok {
		return Decimal{}, ErrOverflow
	}
	return decimalFrom(negative, hi, lo)
}
