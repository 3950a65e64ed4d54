//go:build linux && (amd64 || arm64)

package memory_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/tollway/tollway/host/internal/memory"
)

// Only what is written to and lies where Go has its heap is the heap.
func TestHeapRanges(t *testing.T) {
	const maps = `00400000-04c00000 r-xp 00000000 fe:00 1311                   /usr/bin/tollway
0059a000-005d0000 rw-p 00000000 00:00 0 
161880000000-161882400000 rw-p 00000000 00:00 0 
161882400000-161888c00000 ---p 00000000 00:00 0 
161888c00000-16188c000000 rw-p 00000000 00:00 0                          [anon: Go: heap]
16188c000000-16188e000000 rw-p 00000000 fe:00 77                         /var/lib/tollway/000001.vlog
1618zz000000-161890000000 rw-p 00000000 00:00 0 
7f0000000000-7f0000200000 rw-p 00000000 00:00 0 
`
	got := fmt.Sprintf("%x", memory.HeapRanges(strings.NewReader(maps), 0x161882000000))
	if want := "[{161880000000 161882400000} {161888c00000 16188c000000}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A heap that is put into large pages while it grows and is collected keeps what is in
// it; each part is seen to once, and a small heap not at all.
func TestCollapse(t *testing.T) {
	var heap memory.Heap
	type node struct {
		next *node
		n    int
		room [200]byte
	}
	var first *node
	seen := 0
	for n := range 600_000 { // 130 MB
		first = &node{next: first, n: n}
		if n%100_000 == 99_999 {
			runtime.GC()
			seen += heap.Collapse()
		}
	}
	if seen == 0 {
		t.Error("nothing of the heap was found: Go has it elsewhere")
	}
	if again := heap.Collapse(); again > 4 {
		t.Errorf("%d parts were seen to again", again)
	}
	n := 600_000
	for at := first; at != nil; at = at.next {
		if n--; at.n != n || at.room != [200]byte{} {
			t.Fatalf("object %d has changed", n)
		}
	}
}
