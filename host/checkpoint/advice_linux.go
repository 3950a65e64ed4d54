package checkpoint

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// advisor tells the system how Badger's files are used that are written through mapped
// memory: the newest file of the value log and the log of the write buffer. Both are
// written from front to back, a few kilobytes between two syncs.
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
	dir  string // of Badger's files
	logs [2]advisedLog
}

// advisedLog is a sequence of numbered files of which the newest is written.
type advisedLog struct {
	name   string // format of a file's name
	newest int    // number of the file that was advised on last
}

// begin advises on the newest files of a directory that Badger has open.
func (a *advisor) begin(dir string) {
	a.dir, a.logs = dir, [2]advisedLog{{name: "%06d.vlog"}, {name: "%05d.mem"}}
	files, err := os.ReadDir(dir)
	if err != nil {
		return // it is advice: without it more is written
	}
	for i := range a.logs {
		log, newest := &a.logs[i], 0
		extension := filepath.Ext(log.name)
		for _, file := range files {
			if number, ok := bytes.CutSuffix([]byte(file.Name()), []byte(extension)); ok {
				n, err := strconv.Atoi(string(number))
				if err == nil {
					newest = max(newest, n)
				}
			}
		}
		if newest > 0 {
			a.advise(log.path(dir, newest), unix.MADV_RANDOM)
		}
		log.newest = newest
	}
}

// follow advises on files that Badger began since. It goes from one to the next by
// their numbers, which costs a look at a name that does not exist yet.
func (a *advisor) follow() {
	for i := range a.logs {
		log, newest := &a.logs[i], a.logs[i].newest
		for exists(log.path(a.dir, newest+1)) {
			newest++
		}
		if newest == log.newest {
			continue
		}
		a.advise(log.path(a.dir, log.newest), unix.MADV_NORMAL) // from now on it is only read
		a.advise(log.path(a.dir, newest), unix.MADV_RANDOM)
		log.newest = newest
	}
}

// path returns the name of a file.
func (l *advisedLog) path(dir string, number int) string {
	return filepath.Join(dir, fmt.Sprintf(l.name, number))
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
