package ingest

// plainTime reads an RFC 3339 time in capitals, with no more than nine digits of a second's fraction, as Unix nanoseconds.
// It reports false for any other text and for times that cannot be billed.
func plainTime(b []byte) (int64, bool) {
	const shortest = len("2006-01-02T15:04:05Z")
	if len(b) < shortest || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return 0, false
	}
	century, year, month, day := twoDigits(b, 0), twoDigits(b, 2), twoDigits(b, 5), twoDigits(b, 8)
	hour, minute, second := twoDigits(b, 11), twoDigits(b, 14), twoDigits(b, 17)
	if century > 99 || year > 99 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	days, ok := daysOf(century*100+year, month, day)
	nanos, offset, good := plainZone(b[19:])
	if !ok || !good {
		return 0, false
	}
	seconds := days*86_400 + hour*3_600 + minute*60 + second - offset
	if seconds < timeMinUnix || seconds >= timeEndUnix {
		return 0, false
	}
	return seconds*nanosPerSecond + nanos, true
}

// plainZone reads what stands behind the seconds: a fraction, as nanoseconds, and the zone's offset in seconds.
func plainZone(b []byte) (nanos, offset int64, ok bool) {
	i := 0
	if b[0] == '.' {
		const digitsMax = 9
		for i = 1; i < len(b) && b[i]-'0' <= 9; i++ {
			nanos = nanos*10 + int64(b[i]-'0')
			if i > digitsMax {
				return 0, 0, false
			}
		}
		if i == 1 {
			return 0, 0, false
		}
		for n := i; n <= digitsMax; n++ {
			nanos *= 10
		}
	}
	zone := b[i:]
	if len(zone) == 1 && zone[0] == 'Z' {
		return nanos, 0, true
	}
	if len(zone) != len("+00:00") || zone[3] != ':' {
		return 0, 0, false
	}
	hours, minutes := twoDigits(zone, 1), twoDigits(zone, 4)
	offset = hours*3_600 + minutes*60
	if zone[0] == '-' {
		offset = -offset
	} else if zone[0] != '+' {
		return 0, 0, false
	}
	return nanos, offset, hours <= 23 && minutes <= 59
}

// twoDigits returns the number that two digits are, or one above 99.
func twoDigits(b []byte, i int) int64 {
	tens, ones := b[i]-'0', b[i+1]-'0'
	if tens > 9 || ones > 9 {
		return 100
	}
	return int64(tens)*10 + int64(ones)
}

// daysOf returns the days from 1970-01-01 to a date of the years 0 to 9999, and whether there is such a date. The algorithm
// is Howard Hinnant's days_from_civil ("chrono-Compatible Low-Level Date Algorithms"): years begin in March, so that the leap
// day is their last.
func daysOf(year, month, day int64) (int64, bool) {
	if month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, false
	}
	leap := year%4 == 0 && (year%100 != 0 || year%400 == 0)
	switch {
	case month == 2 && (day > 29 || day == 29 && !leap),
		day == 31 && (month == 4 || month == 6 || month == 9 || month == 11):
		return 0, false
	}
	month -= 3
	if month < 0 {
		month += 12
		year--
	}
	year += 400 // no negative year before 1 March of year 0
	era := year / 400
	ofEra := year - era*400
	ofYear := (153*month+2)/5 + day - 1
	return (era-1)*146_097 + ofEra*365 + ofEra/4 - ofEra/100 + ofYear - 719_468, true
}
