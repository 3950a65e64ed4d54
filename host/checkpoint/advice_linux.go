package checkpoint

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// advisor tells the system how the log of Badger's write buffer is used, which is written
// through mapped memory: from front to back, a few kilobytes between two syncs.
//
// When a page of a mapped file is looked at for the first time, the system reads what
// is around it as well, up to megabytes, and holds it in units as large. That is for
// readers. Of a file that is written it costs dearly: a unit of which one byte was
// changed goes to the disk whole, at every sync. Advice that the file is looked at
// here and there has the system take single pages. What is only read keeps the
// reading ahead.
//
// It belongs to whoever opens the store, and then to whoever writes a transaction.
type advisor struct {
	dir    string // of Badger's files
	newest int    // number of the file that was advised on last
}

// logExtension is that of the logs of write buffers, whose names are numbers.
const logExtension = ".mem"

// begin advises on the newest file of a directory that Badger has open.
func (a *advisor) begin(dir string) {
	a.dir = dir
	files, err := os.ReadDir(dir)
	if err != nil {
		return // it is advice: without it more is written
	}
	for _, file := range files {
		if number, ok := strings.CutSuffix(file.Name(), logExtension); ok {
			if n, err := strconv.Atoi(number); err == nil {
				a.newest = max(a.newest, n)
			}
		}
	}
	if a.newest > 0 {
		a.advise(a.path(a.newest), unix.MADV_RANDOM)
	}
}

// follow advises on files that Badger began since. It goes from one to the next by
// their numbers, which costs a look at a name that does not exist yet.
func (a *advisor) follow() {
	newest := a.newest
	for exists(a.path(newest + 1)) {
		newest++
	}
	if newest == a.newest {
		return
	}
	a.advise(a.path(a.newest), unix.MADV_NORMAL) // from now on it is only read
	a.advise(a.path(newest), unix.MADV_RANDOM)
	a.newest = newest
}

// path returns the name of a file.
func (a *advisor) path(number int) string {
	return filepath.Join(a.dir, fmt.Sprintf("%05d"+logExtension, number))
}

func exists(path string) bool {
	var info unix.Stat_t
	return unix.Lstat(path, &info) == nil
}

// advise gives advice on every shared mapping of a file.
func (a *advisor) advise(path string, advice uintptr) {
	info, err := os.Stat(path)
	if err != nil {
		return // it was removed meanwhile
	}
	file, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	eachMapping(func(from, to uintptr, line []byte) bool {
		if shared(line) && mapsFile(line, file.Ino, info.Name()) {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, advice)
		}
		return true
	})
}

// mapsFile reports whether a line of /proc/self/maps is of a file with a number and a
// name. The folders before the name may be others than ours, behind links or mounts.
func mapsFile(line []byte, inode uint64, name string) bool {
	fields := bytes.Fields(line)
	const inodeField, pathField = 4, 5
	return len(fields) > pathField && string(fields[inodeField]) == strconv.FormatUint(inode, 10) &&
		bytes.HasSuffix(line, []byte("/"+name))
}
