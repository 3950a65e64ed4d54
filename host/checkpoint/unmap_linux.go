package checkpoint

import (
	"bytes"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unmap takes the pages of the file of which b is a part, mapped into memory and
// shared, out of the process. They are read from the file again when they are
// looked at. The caller makes sure that the mapping stays.
//
// The whole file goes, not b alone: the system maps more than what is looked at,
// up to two megabytes.
func unmap(b []byte) {
	// Everything here is advice: what stays in memory is lost nowhere.
	maps, err := unix.Open("/proc/self/maps", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	if from, to, found := findMapping(at, func(p []byte) (int, error) { return unix.Read(maps, p) }); found {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
	}
	_ = unix.Close(maps)
}

// mappingLine is longer than what is looked at of a line of /proc/self/maps.
const mappingLine = 8 << 10

// findMapping looks in what is read of /proc/self/maps,
//
//	7f04d8000000-7f04e0000000 rw-s 00000000 fe:00 1835 /path
//
// for the mapping with an address. It is found when it is of a file that is
// shared: the memory of others is not to be touched.
func findMapping(at uintptr, read func([]byte) (int, error)) (from, to uintptr, found bool) {
	var buffer [mappingLine]byte
	for n := 0; ; {
		more, err := read(buffer[n:])
		if err != nil || more <= 0 {
			return 0, 0, false
		}
		n += more
		lines := buffer[:n]
		for {
			line, rest, whole := bytes.Cut(lines, []byte{'\n'})
			if !whole {
				break
			}
			var ok bool
			if from, to, ok = cutRange(line); ok && from <= at && at < to {
				return from, to, shared(line)
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
