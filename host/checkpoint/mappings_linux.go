package checkpoint

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// eachMapping calls fn for the process's mappings until it returns false. What it is
// for is advice, so a system that does not tell of them is passed over.
func eachMapping(fn func(from, to uintptr, line []byte) bool) {
	maps, err := unix.Open("/proc/self/maps", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	readMappings(func(p []byte) (int, error) { return unix.Read(maps, p) }, fn)
	_ = unix.Close(maps)
}

// mappingLine is longer than what is looked at of a line of /proc/self/maps.
const mappingLine = 8 << 10

// readMappings calls fn for the mappings in what is read of /proc/self/maps, until it
// returns false:
//
//	7f04d8000000-7f04e0000000 rw-s 00000000 fe:00 1835 /path
func readMappings(read func([]byte) (int, error), fn func(from, to uintptr, line []byte) bool) {
	var buffer [mappingLine]byte
	for n := 0; ; {
		more, err := read(buffer[n:])
		if err != nil || more <= 0 {
			return
		}
		n += more
		lines := buffer[:n]
		for {
			line, rest, whole := bytes.Cut(lines, []byte{'\n'})
			if !whole {
				break
			}
			if from, to, ok := cutRange(line); ok && !fn(from, to, line) {
				return
			}
			lines = rest
		}
		n = copy(buffer[:], lines)
	}
}

// cutRange reads the addresses that a line begins with.
func cutRange(line []byte) (from, to uintptr, ok bool) {
	first, rest, _ := bytes.Cut(line, []byte{'-'})
	second, _, ok := bytes.Cut(rest, []byte{' '})
	from, fromOK := hexadecimal(first)
	to, toOK := hexadecimal(second)
	return from, to, ok && fromOK && toOK
}

func hexadecimal(b []byte) (n uintptr, ok bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | uintptr(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | uintptr(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, len(b) > 0 && len(b) <= 16
}

// shared reports whether a line is of a file that is mapped shared.
func shared(line []byte) bool {
	_, rest, _ := bytes.Cut(line, []byte{' '})
	flags, rest, _ := bytes.Cut(rest, []byte{' '})
	return len(flags) == 4 && flags[3] == 's' && bytes.IndexByte(rest, '/') >= 0
}
