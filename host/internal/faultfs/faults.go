package faultfs

import (
	"strings"
	"syscall"
	"time"
)

// Op is a kind of call.
type Op int

// The kinds. A sync is also what a write does that was asked to reach the medium.
const (
	OpRead  Op = iota // of a file or of a folder's names
	OpWrite           // or a change of a file's size
	OpSync            // of a file or a folder
	OpName            // creation, renaming, removal
)

// Fault makes calls fail, or take their time.
type Fault struct {
	Op   Op
	Path string        // part of the path of the file concerned; "" is any
	Skip int           // so many of these calls are let through first
	Fail int           // and so many fail then; 0 is all
	Err  syscall.Errno // 0 lets them through, after Wait
	Wait time.Duration // before the call is dealt with; everything else on the disk waits too
}

// rule is a fault that is in force.
type rule struct {
	Fault
	met int
}

// Inject puts a fault in force. Power on ends all.
func (d *Disk) Inject(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rules = append(d.rules, &rule{Fault: f})
}

// Heal ends all faults.
func (d *Disk) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rules = nil
}

// Resize changes the size of the disk; what it has stays.
func (d *Disk) Resize(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.options.Bytes = bytes
}

// Used returns how many bytes are taken.
func (d *Disk) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pages * pageBytes
}

// Changes returns how many writes, syncs and changes of names there were since the
// disk was new.
func (d *Disk) Changes() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changes
}

// CutAfter lets the power fail after so many further changes: every call fails with
// EIO from then on. 0 is at once.
func (d *Disk) CutAfter(changes uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cutAt = d.changes + changes; changes == 0 {
		d.cut()
	}
}

// Off returns a channel that is closed when the power has failed.
func (d *Disk) Off() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gone
}

func (d *Disk) cut() {
	if !d.off {
		d.off = true
		close(d.gone)
	}
}

// allow decides whether a call takes place.
func (d *Disk) allow(op Op, path string) syscall.Errno {
	if d.off {
		return syscall.EIO
	}
	if op != OpRead {
		if d.cutAt > 0 && d.changes >= d.cutAt {
			d.cut()
			return syscall.EIO
		}
		d.changes++
	}
	for _, r := range d.rules {
		if r.Op != op || !strings.Contains(path, r.Path) {
			continue
		}
		if r.met++; r.met <= r.Skip || r.Fail > 0 && r.met > r.Skip+r.Fail {
			continue
		}
		time.Sleep(r.Wait)
		if r.Err != 0 {
			return r.Err
		}
	}
	return 0
}
