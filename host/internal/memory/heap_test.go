//go:build linux && (amd64 || arm64)

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

var heap *memory.Heap

// What is set aside is address space that the heap grows into, in large pages, and
// takes no memory before: there are pages up to where the heap can grow to before it is
// collected, and no further.
func TestHeapGrowsIntoWhatIsSetAside(t *testing.T) {
	if heap != nil {
		t.Skip("a process has one heap")
	}
	heap = &memory.Heap{}
	before := resident(t)
	if !heap.Grow() {
		t.Fatal("nothing was set aside")
	}
	if grown := resident(t) - before; grown > 32<<20 {
		t.Errorf("setting memory aside took %d MiB of it", grown>>20)
	}
	if live := read(t, "/memory/classes/heap/objects:bytes"); live > 64<<20 {
		t.Errorf("%d MiB of objects live: what was made to set memory aside does still", live>>20)
	}
	for n := 0; heap.Grow(); n++ {
		if n == 8 {
			t.Fatal("a heap that does not grow is given more and more")
		}
	}
	if grown := resident(t) - before; grown > 64<<20 {
		t.Errorf("a small heap was given %d MiB", grown>>20)
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
	runtime.GC() // from now on the heap may grow by as much again
	for heap.Grow() {
	}
	ready := resident(t)
	more := make([][]byte, 32)
	for i := range more { // 32 MiB
		more[i] = make([]byte, 1<<20)
		for at := 0; at < len(more[i]); at += 4 << 10 {
			more[i][at] = 1
		}
	}
	if grown := resident(t) - ready; grown > 16<<20 {
		t.Errorf("a heap that grew by 32 MiB took %d MiB that were not there before", grown>>20)
	}
	runtime.KeepAlive(first)
	runtime.KeepAlive(more)
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
