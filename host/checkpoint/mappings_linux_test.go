package checkpoint

import (
	"strings"
	"testing"
	"testing/iotest"
)

// mappingOf finds the shared mapping with an address.
func mappingOf(at uintptr, read func([]byte) (int, error)) (from, to uintptr, found bool) {
	readMappings(read, func(first, end uintptr, line []byte) bool {
		if first <= at && at < end {
			from, to, found = first, end, shared(line)
			return false
		}
		return true
	})
	return from, to, found
}

// Lines are read whole, however the system cuts them.
func TestReadMappings(t *testing.T) {
	t.Parallel()
	const maps = `00400000-00401000 r-xp 00000000 fe:00 1 /bin/x
7f04d8000000-7f04e0000000 rw-s 00000000 fe:00 1835 /a b
7f04e0000000-7f04e0001000 rw-p 00000000 fe:00 1836 /c
7f04e0001000-7f04e0002000 rw-s 00000000 00:00 0
odd line
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]
`
	for at, want := range map[uintptr]bool{
		0x400000: false, 0x7f04d7ffffff: false, 0x7f04d8000000: true, 0x7f04dfffffff: true, 0x7f04e0000000: false, 0x7f04e0001fff: false, 1: false,
	} {
		from, to, found := mappingOf(at, iotest.OneByteReader(strings.NewReader(maps)).Read)
		if found != want || found && (from != 0x7f04d8000000 || to != 0x7f04e0000000) {
			t.Errorf("%x: from %x to %x, %t", at, from, to, found)
		}
	}
	long := strings.NewReader(strings.Repeat("x", 2*mappingLine))
	if _, _, found := mappingOf(1, long.Read); found {
		t.Error("found in a line without end")
	}
}
