//go:build linux

package memory_test

import (
	"bytes"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"testing"
	"unsafe"

	"github.com/tollway/tollway/host/internal/memory"
)

// What is set aside is address space that the heap grows into, in large pages, and
// takes no memory before.
func TestReserve(t *testing.T) {
	before := resident(t)
	var heap memory.Heap
	got := heap.Reserve()
	if got < 64<<20 {
		t.Fatalf("%d bytes were set aside", got)
	}
	if grown := resident(t) - before; grown > 32<<20 {
		t.Errorf("setting %d MiB aside took %d MiB of memory", got>>20, grown>>20)
	}
	if live := read(t, "/memory/classes/heap/objects:bytes"); live > got {
		t.Errorf("%d MiB of objects live: what was made to set memory aside does still", live>>20)
	}
	if again := heap.Reserve(); again != 0 {
		t.Errorf("a heap that has not grown had another %d bytes set aside", again)
	}

	type node struct {
		next *node
		n    int
		room [200]byte
	}
	var first *node
	for n := range 200_000 { // 43 MB
		first = &node{next: first, n: n}
	}
	if !advised(t, uintptr(unsafe.Pointer(first))) {
		t.Error("the heap has not grown into what was set aside: it is not in large pages")
	}
	n := 200_000
	for at := first; at != nil; at = at.next {
		if n--; at.n != n || at.room != [200]byte{} {
			t.Fatalf("object %d has changed", n)
		}
	}
	runtime.KeepAlive(first)
}

func read(t *testing.T, name string) uint64 {
	t.Helper()
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// resident is how much memory the process has, in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	pages, err := strconv.ParseInt(string(bytes.Fields(b)[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// advised reports whether the system was told to use large pages at an address, by
// what smaps says of the mapping.
func advised(t *testing.T, at uintptr) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	within := false
	for line := range bytes.Lines(b) {
		if from, rest, ok := bytes.Cut(line, []byte{'-'}); ok {
			to, _, _ := bytes.Cut(rest, []byte{' '})
			a, errA := strconv.ParseUint(string(from), 16, 64)
			z, errZ := strconv.ParseUint(string(to), 16, 64)
			if errA == nil && errZ == nil {
				within = uint64(at) >= a && uint64(at) < z
				continue
			}
		}
		if flags, ok := bytes.CutPrefix(line, []byte("VmFlags:")); ok && within {
			return bytes.Contains(flags, []byte(" hg"))
		}
	}
	return false
}
