package checkpoint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resident counts the pages of a mapping that the process has.
func resident(t *testing.T, b []byte) (n int) {
	t.Helper()
	file, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	page := os.Getpagesize()
	entries := make([]byte, len(b)/page*8)
	if _, err := file.ReadAt(entries, int64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))/int64(page)*8); err != nil {
		t.Fatal(err)
	}
	for i := 7; i < len(entries); i += 8 {
		n += int(entries[i] >> 7) // the bit that says that the page is present
	}
	return n
}

// What is taken out of memory is in the file, and what is written to it
// afterwards as well. The memory of others is left alone.
func TestUnmap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	const size = 1 << 20
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	b, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] = 1
	}
	if n := resident(t, b); n != size/os.Getpagesize() {
		t.Fatalf("%d pages are resident", n)
	}
	unmap(b[size/2 : size/2+1])
	if n := resident(t, b); n != 0 {
		t.Errorf("%d pages are left", n)
	}
	b[7] = 2
	heap := make([]byte, size)
	heap[size/2] = 3
	unmap(heap[size/2:])
	if heap[size/2] != 3 {
		t.Error("memory that is no file was dropped")
	}
	if err := unix.Munmap(b); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(path)
	if err != nil || strings.Count(string(written), "\x01") != size-1 || written[7] != 2 {
		t.Errorf("the file lost something: %v", err)
	}
}

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
