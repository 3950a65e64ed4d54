//go:build amd64 || arm64

package memory

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// heapReach is how far from any of its objects the heap is looked for. Go has all of
// it in one stretch of the address space, that begins anywhere (since Go 1.26).
const heapReach = 64 << 30

// heapMin is how large the heap is before it is put into large pages: a small process
// would only become larger.
const heapMin = 64 << 20

// Heap puts the Go heap into large pages, as [Large] does for single pieces that were
// not used yet. The memory of a state is in objects of all sizes, looked up in no
// order: without, most looks at it begin with one at the page tables.
type Heap struct {
	done map[uintptr]struct{} // pages that were seen to
}

// Collapse puts those parts of the heap into large pages that were not seen to yet,
// and returns how many there were. It is an advice, like that of Large: a system of
// before Linux 6.1 does so by and by, one without large pages not at all.
func (h *Heap) Collapse() int {
	file, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0 // nothing is promised
	}
	defer func() { _ = file.Close() }() // it was only read
	ranges := heapRanges(file, uintptr(unsafe.Pointer(h)))
	whole := uintptr(0)
	for _, r := range ranges {
		whole += r.until - r.from
	}
	if whole < heapMin {
		return 0
	}
	if h.done == nil {
		h.done = map[uintptr]struct{}{}
	}
	n := 0
	for _, r := range ranges {
		for at := (r.from + pageLarge - 1) &^ (pageLarge - 1); at+pageLarge <= r.until; at += pageLarge {
			if _, done := h.done[at]; done {
				continue
			}
			h.done[at] = struct{}{}
			n++
			collapse(at)
		}
	}
	return n
}

// collapse asks for one large page. Memory that was given back meanwhile makes it
// fail, and nothing else.
func collapse(at uintptr) {
	const collapseNow = 25 // MADV_COLLAPSE, Linux 6.1
	for _, advice := range [...]uintptr{unix.MADV_HUGEPAGE, collapseNow} {
		if _, _, failed := unix.Syscall(unix.SYS_MADVISE, at, pageLarge, advice); failed != 0 {
			return
		}
	}
}

// stretch is a part of the address space.
type stretch struct{ from, until uintptr }

// heapRanges returns the heap's parts that are in use, of a list of mappings as in
// proc(5). near is the address of an object of it.
func heapRanges(maps io.Reader, near uintptr) []stretch {
	var list []stretch
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		addresses, rest, _ := bytes.Cut(lines.Bytes(), []byte{' '})
		if !bytes.HasPrefix(rest, []byte("rw-p 00000000 00:00 0 ")) { // without a file
			continue
		}
		from, until, _ := bytes.Cut(addresses, []byte{'-'})
		r := stretch{address(from), address(until)}
		if r.from < near+heapReach && r.until+heapReach > near && r.from > 0 {
			list = append(list, r)
		}
	}
	return list
}

func address(hex []byte) uintptr {
	n, err := strconv.ParseUint(string(hex), 16, 8*int(unsafe.Sizeof(uintptr(0))))
	if err != nil {
		return 0 // where nothing is
	}
	return uintptr(n)
}
