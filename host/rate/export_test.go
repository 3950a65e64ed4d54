package rate

// Calls returns how many calls into plugins the rater's instances have taken.
func Calls(r *Rater) (calls uint64) {
	for _, m := range r.modules {
		calls += m.instance.Calls()
	}
	return calls
}

// DropWays drops what the rater remembers of events, which decides nothing.
func DropWays(r *Rater) { r.forget() }

// ParseDecimal is the short way of billing.ParseDecimal.
var ParseDecimal = parseDecimal
