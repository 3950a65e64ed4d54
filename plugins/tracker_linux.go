package plugins

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tracker finds the pages of a memory that were written to, without a fault or a copy for the
// others. The memory in use is mapped privately from an anonymous file that holds the image. The
// system gives a page of its own to whoever writes, and /proc/self/pagemap tells such pages from
// those that still belong to the file. It is safe for concurrent use; nil is a tracker that tracks
// nothing.
type tracker struct {
	pagemap *os.File
	buffers sync.Pool // of *[]byte
}

// errUntracked says that a memory cannot be tracked here: it must be copied as a whole.
var errUntracked = errors.New("written pages cannot be told apart on this system")

// newTracker returns nil where the system does not show the map, as in some containers.
func newTracker() *tracker {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return nil
	}
	return &tracker{pagemap: f, buffers: sync.Pool{New: func() any { return new([]byte) }}}
}

func (t *tracker) close() error {
	if t == nil {
		return nil
	}
	return t.pagemap.Close()
}

// track makes an image of a memory and maps the memory privately from it. The pages of skip are
// zero in the image and ordinary memory afterwards, all zero. The image is to be given back with
// release.
//
// # Errors
//
// errUntracked when nothing was changed; any other error leaves the memory in an unknown state.
func (t *tracker) track(memory []byte, skip span) (image []byte, err error) {
	if t == nil || len(memory) == 0 {
		return nil, errUntracked
	}
	fd, err := unix.MemfdCreate("tollway-plugin", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, errUntracked
	}
	defer func() {
		if closeErr := unix.Close(fd); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("closing an image: %w", closeErr))
		}
	}()
	if image, err = fill(fd, memory, skip); err != nil {
		return nil, errUntracked
	}
	if err := mapOver(memory, fd, unix.MAP_PRIVATE); err != nil {
		release(image)
		return nil, fmt.Errorf("mapping an image: %w", err)
	}
	if err := mapOver(memory[skip.from:skip.to], -1, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
		release(image)
		return nil, fmt.Errorf("mapping an arena: %w", err)
	}
	return image, nil
}

// fill writes a memory into a file and maps it for reading. Pages of zeros stay holes.
func fill(fd int, memory []byte, skip span) ([]byte, error) {
	if err := unix.Ftruncate(fd, int64(len(memory))); err != nil {
		return nil, err
	}
	image, err := unix.Mmap(fd, 0, len(memory), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	for at := 0; at < len(memory); at += systemPage {
		page := memory[at : at+systemPage]
		if (at < skip.from || at >= skip.to) && !allZero(page) {
			copy(image[at:], page)
		}
	}
	if err := unix.Mprotect(image, unix.PROT_READ); err != nil {
		release(image)
		return nil, err
	}
	return image, nil
}

func allZero(page []byte) bool {
	for ; len(page) >= 8; page = page[8:] {
		if binary.NativeEndian.Uint64(page) != 0 {
			return false
		}
	}
	return true
}

// mapOver replaces the pages of a memory by those of a file, or by fresh ones.
func mapOver(memory []byte, fd, flags int) error {
	if len(memory) == 0 {
		return nil
	}
	_, err := unix.MmapPtr(fd, 0, unsafe.Pointer(unsafe.SliceData(memory)), uintptr(len(memory)),
		unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_FIXED)
	return err
}

// The form of /proc/self/pagemap: eight bytes a page.
const (
	pagemapEntry   = 8
	pagemapFile    = 1 << 61 // the page belongs to a file: nobody wrote to it
	pagemapThere   = 3 << 62 // the page is present, or swapped out
	revertPagesMax = 128     // written pages that are copied; more are given back at once
)

// revert makes a memory equal to its image again, but for the pages of skip.
//
// A page that was written to stays the memory's own, so it is copied each time from then on, which
// costs less than giving it back and taking the fault again. When they become many, all are given
// back.
func (t *tracker) revert(memory, image []byte, skip span) {
	pages := 0
	err := t.eachWritten(memory, skip, func(page, at []byte) bool {
		if pages++; pages > revertPagesMax {
			return false
		}
		copy(page, at)
		return true
	}, image)
	if err != nil || pages > revertPagesMax {
		dropPages(memory, image, skip)
	}
}

// renew makes an image equal to the memory that is mapped from it, but for the pages of skip. Little of a memory
// changes from one image to the next, so that this takes far less than an image anew.
//
// # Errors
//
// errUntracked when it cannot be done; the memory is as it was, and the image of no use.
func (t *tracker) renew(memory, image []byte, skip span) error {
	if err := unix.Mprotect(image, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return errUntracked
	}
	err := t.eachWritten(memory, skip, func(page, at []byte) bool {
		copy(at, page)
		return true
	}, image)
	if err != nil || unix.Mprotect(image, unix.PROT_READ) != nil {
		return errUntracked
	}
	dropPages(memory, image, skip)
	return nil
}

// eachWritten visits the pages of a memory that were written to, but for those of skip, with the same page of the
// image, until visit returns false.
func (t *tracker) eachWritten(memory []byte, skip span, visit func(page, at []byte) bool, image []byte) error {
	// Of the pages of skip, which are most of those in use, the system need not tell.
	more := true
	for _, part := range [...]span{{0, skip.from}, {skip.to, len(memory)}} {
		err := t.eachWrittenOf(memory[part.from:part.to], image[part.from:part.to], func(page, at []byte) bool {
			more = visit(page, at)
			return more
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// eachWrittenOf does that for a part of a memory.
func (t *tracker) eachWrittenOf(memory, image []byte, visit func(page, at []byte) bool) error {
	if len(memory) == 0 {
		return nil
	}
	b := t.buffers.Get().(*[]byte)
	defer t.buffers.Put(b)
	size := len(memory) / systemPage * pagemapEntry
	if cap(*b) < size {
		*b = make([]byte, size)
	}
	entries := (*b)[:size]
	first := uintptr(unsafe.Pointer(unsafe.SliceData(memory))) / uintptr(systemPage)
	if n, err := t.pagemap.ReadAt(entries, int64(first)*pagemapEntry); err != nil || n != size {
		return errUntracked
	}
	for k := 0; k < size; k += pagemapEntry {
		entry := binary.NativeEndian.Uint64(entries[k:])
		if entry&pagemapThere == 0 || entry&pagemapFile != 0 {
			continue
		}
		at := k / pagemapEntry * systemPage
		if !visit(memory[at:at+systemPage], image[at:at+systemPage]) {
			return nil
		}
	}
	return nil
}

// dropPages gives all of a memory's own pages back, so that it shows the image again.
func dropPages(memory, image []byte, skip span) {
	for _, s := range [...]span{{0, skip.from}, {skip.to, len(memory)}} {
		if s.from == s.to {
			continue
		}
		if err := unix.Madvise(memory[s.from:s.to], unix.MADV_DONTNEED); err != nil {
			copy(memory[s.from:s.to], image[s.from:s.to])
		}
	}
}
