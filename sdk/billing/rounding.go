package billing

// RoundingMode says where a number goes that lies between two representable ones.
type RoundingMode uint8

// The rounding modes. The zero value rounds nothing: dropping digits has to be asked for.
const (
	RoundNone     RoundingMode = iota // keep every digit; a result that has too many is ErrInexact
	RoundHalfUp                       // to the nearest; a tie goes away from zero: 2.5 to 3, -2.5 to -3
	RoundHalfEven                     // to the nearest; a tie goes to the even neighbour: 2.5 to 2, 3.5 to 4
	RoundFloor                        // towards minus infinity: 2.7 to 2, -2.1 to -3
	RoundCeiling                      // towards plus infinity: 2.1 to 3, -2.7 to -2
)

var roundingModeNames = [...]string{"none", "half_up", "half_even", "floor", "ceiling"}

// ParseRoundingMode reads none, half_up, half_even, floor or ceiling.
func ParseRoundingMode(s string) (RoundingMode, error) {
	for mode, name := range roundingModeNames {
		if s == name {
			return RoundingMode(mode), nil
		}
	}
	return 0, &ParseError{What: "rounding mode", Text: s, Err: ErrRounding}
}

// String returns the mode's name, and "invalid" for none of the modes.
func (m RoundingMode) String() string {
	if int(m) >= len(roundingModeNames) {
		return "invalid"
	}
	return roundingModeNames[m]
}

// MarshalText returns the mode's name, or [ErrRounding].
func (m RoundingMode) MarshalText() ([]byte, error) {
	if int(m) >= len(roundingModeNames) {
		return nil, ErrRounding
	}
	return []byte(roundingModeNames[m]), nil
}

// UnmarshalText reads what [ParseRoundingMode] reads.
func (m *RoundingMode) UnmarshalText(text []byte) error {
	mode, err := ParseRoundingMode(string(text))
	if err != nil {
		return err
	}
	*m = mode
	return nil
}

// The scales that a Rounding may name. Beyond RoundingScaleMin nothing but 0 would be left.
const (
	RoundingScaleMin = -20
	RoundingScaleMax = Scale
)

// Rounding names a rounding completely. In catalogs and parameters it reads {"scale": 2, "mode": "half_up"}.
// The zero value rounds nothing.
type Rounding struct {
	// Scale is the number of decimal places kept: 2 keeps cents, 0 whole units, -2 whole hundreds.
	// It means nothing in mode RoundNone.
	Scale int `json:"scale" yaml:"scale"`
	// Mode says which way.
	Mode RoundingMode `json:"mode" yaml:"mode"`
}

// Validate returns [ErrRounding] unless the mode is known and the scale lies within -20 to 18.
func (r Rounding) Validate() error {
	if r.Mode > RoundCeiling || uint(r.Scale-RoundingScaleMin) > RoundingScaleMax-RoundingScaleMin {
		return ErrRounding
	}
	return nil
}

// rest is what is known of the digits that a division dropped. It is all that rounding needs.
type rest uint8

const (
	restNone rest = iota // nothing was dropped
	restLess             // less than half of the last kept digit
	restHalf             // exactly half
	restMore             // more than half
)

// behind returns the rest of dropping a digit group with the value remainder out of modulus, when low is the
// rest of the digits behind that group. The modulus is even.
func (low rest) behind(remainder, modulus uint64) rest {
	half := modulus / 2
	switch {
	case remainder > half, remainder == half && low != restNone:
		return restMore
	case remainder == half:
		return restHalf
	case remainder != 0 || low != restNone:
		return restLess
	default:
		return restNone
	}
}

// growsMagnitude reports whether rounding moves the kept digits one away from zero.
func (m RoundingMode) growsMagnitude(negative, odd bool, dropped rest) bool {
	switch m {
	case RoundHalfUp:
		return dropped >= restHalf
	case RoundHalfEven:
		return dropped == restMore || dropped == restHalf && odd
	case RoundFloor:
		return negative && dropped != restNone
	case RoundCeiling:
		return !negative && dropped != restNone
	default: // RoundNone: the caller has refused a rest
		return false
	}
}
