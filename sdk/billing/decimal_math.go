package billing

// Mul returns d * e, rounded once as r says from the exact product. In mode [RoundNone] a product with more
// than 18 decimal places is [ErrInexact].
func (d Decimal) Mul(e Decimal, r Rounding) (Decimal, error) {
	if err := r.Validate(); err != nil {
		return Decimal{}, err
	}
	dhi, dlo := d.magnitude()
	ehi, elo := e.magnitude()
	negative := d.Hi^e.Hi < 0
	if ehi != 0 {
		dhi, dlo, ehi, elo = ehi, elo, dhi, dlo
	}
	if ehi == 0 {
		// One of the two is below 18.4, as prices mostly are: the product has three words, and unless it overflows
		// its quotient by the surplus scale has two.
		w2, w1 := mul64(dhi, elo)
		carry, w0 := mul64(dlo, elo)
		w1 += carry
		if w1 < carry {
			w2++
		}
		if w2 < unit {
			hi, lo, remainder := divWords(w2, w1, w0, Scale)
			if remainder == 0 && r.scale() == Scale {
				return decimalFrom(negative, hi, lo)
			}
			return finishWords(hi, lo, restNone.behind(remainder, unit), negative, r)
		}
	}
	return finish(mul128(dhi, dlo, ehi, elo), 2*Scale, restNone, negative, r)
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
	return finishWords(hi, lo, restNone, d.Hi < 0, r)
}

// scale is the number of decimal places that a result rounded by r keeps.
func (r Rounding) scale() int {
	if r.Mode == RoundNone {
		return Scale
	}
	return r.Scale
}

// finishWords is finish for a magnitude of two words with 18 decimal places: the common case in few steps.
func finishWords(hi, lo uint64, dropped rest, negative bool, r Rounding) (Decimal, error) {
	n := Scale - r.scale()
	if n > Scale || hi >= 1<<62 || r.Mode == RoundNone {
		return finish(wide{w1: hi, w0: lo}, Scale, dropped, negative, r)
	}
	// Rounding adds less than 10^18, so nothing below reaches 2^127.
	power := uint64(1)
	if n > 0 {
		power = powers[n].value
		var remainder uint64
		hi, lo, remainder = divWords(0, hi, lo, n)
		dropped = dropped.behind(remainder, power)
	}
	if r.Mode.growsMagnitude(negative, lo&1 == 1, dropped) {
		lo++
		if lo == 0 {
			hi++
		}
	}
	carry, low := mul64(lo, power)
	d := Decimal{Hi: int64(hi*power + carry), Lo: low}
	if negative {
		d = d.negated()
	}
	return d, nil
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
	hi, lo := magnitude.w1, magnitude.w0
	if scale != Scale {
		var ok bool
		if hi, lo, ok = mulPowerOfTen(hi, lo, Scale-scale); !ok {
			return Decimal{}, ErrOverflow
		}
	}
	return decimalFrom(negative, hi, lo)
}
