package tariff

// Days of UTC. Times are unix nanoseconds.

// dayNanos is the length of a day of UTC.
const dayNanos = 86_400_000_000_000

// DayOf returns the number of the day of UTC that an instant lies in, counted from 1970-01-01.
func DayOf(instant int64) int64 {
	day := instant / dayNanos
	if instant%dayNanos < 0 {
		day--
	}
	return day
}

// DaysBetween returns the number of days of UTC that a span touches; its end is excluded. It is 0 for a span without
// length.
func DaysBetween(from, to int64) int64 {
	if to <= from {
		return 0
	}
	return DayOf(to-1) + 1 - DayOf(from)
}
