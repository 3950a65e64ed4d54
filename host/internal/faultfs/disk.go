package faultfs

import (
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Options say what kind of disk it is.
type Options struct {
	// Bytes is its size; 64 GiB when 0. Nothing is set aside for it.
	Bytes int64
	// Strict makes names last only as POSIX promises, see the package.
	Strict bool
}

const defaultBytes = 64 << 30

// rootID is the number of the outermost folder.
const rootID = 1

// Disk is a disk with a file system. All methods are safe for concurrent use.
type Disk struct {
	options Options

	mu      sync.Mutex
	inodes  map[uint64]*inode
	last    uint64   // the greatest number of an inode, ever
	journal []change // of names, that are not on the medium
	pages   int64    // that files with a name take

	rules   []*rule
	changes uint64 // made since the disk was new
	cutAt   uint64 // the power fails when so many were made; 0 for never
	off     bool
	gone    chan struct{} // closed when off
}

// inode is a file or a folder.
type inode struct {
	id     uint64
	folder bool
	mode   uint32 // permissions

	// A folder's names, as they are and as the medium has them.
	entries, durableEntries map[string]*inode

	// A file's bytes, as they are and as the medium has them, and how the one
	// became the other.
	live, durable content
	pending       []pending

	parent *inode // of its name; nil when it has none
	name   string
}

// pending is a change to a file's bytes that is not on the medium.
type pending struct {
	data []byte
	off  int64
	size int64 // of the file from then on
	cut  bool  // it only sets the size
	lost bool  // its sync has failed: it never gets there
}

// change is a change of names, all of it or nothing.
type change struct {
	sets  []set
	about []*inode // whose sync covers it
}

// set is one name in a folder; a nil node removes it.
type set struct {
	folder *inode
	name   string
	node   *inode
}

// New returns an empty disk.
func New(options Options) *Disk {
	if options.Bytes == 0 {
		options.Bytes = defaultBytes
	}
	root := newFolder(rootID, 0o700)
	return &Disk{options: options, inodes: map[uint64]*inode{rootID: root}, last: rootID, gone: make(chan struct{})}
}

func newFolder(id uint64, mode uint32) *inode {
	return &inode{id: id, folder: true, mode: mode, entries: map[string]*inode{}, durableEntries: map[string]*inode{}}
}

// path is where an inode is, for rules.
func (n *inode) path() string {
	if n.parent == nil {
		return n.name
	}
	return path.Join(n.parent.path(), n.name)
}

// get returns an inode by its number.
func (d *Disk) get(id uint64) (*inode, syscall.Errno) {
	n := d.inodes[id]
	if n == nil {
		return nil, syscall.ESTALE
	}
	return n, 0
}

// child returns what a folder has under a name.
func (d *Disk) child(folder uint64, name string) (parent, node *inode, errno syscall.Errno) {
	if parent, errno = d.get(folder); errno != 0 {
		return nil, nil, errno
	}
	if !parent.folder {
		return nil, nil, syscall.ENOTDIR
	}
	return parent, parent.entries[name], 0
}

// make makes a file or a folder.
func (d *Disk) make(folder uint64, name string, isFolder bool, mode uint32) (*inode, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	parent, old, errno := d.child(folder, name)
	switch {
	case errno != 0:
		return nil, errno
	case old != nil:
		return nil, syscall.EEXIST
	}
	if errno := d.allow(OpName, path.Join(parent.path(), name)); errno != 0 {
		return nil, errno
	}
	d.last++
	node := &inode{id: d.last, mode: mode}
	if isFolder {
		node = newFolder(d.last, mode)
	}
	d.inodes[node.id] = node
	d.rename(change{sets: []set{{parent, name, node}}, about: []*inode{parent, node}})
	return node, 0
}

// remove removes a file, or an empty folder.
func (d *Disk) remove(folder uint64, name string, isFolder bool) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	parent, node, errno := d.child(folder, name)
	switch {
	case errno != 0:
		return errno
	case node == nil:
		return syscall.ENOENT
	case isFolder && !node.folder:
		return syscall.ENOTDIR
	case !isFolder && node.folder:
		return syscall.EISDIR
	case len(node.entries) > 0:
		return syscall.ENOTEMPTY
	}
	if errno := d.allow(OpName, node.path()); errno != 0 {
		return errno
	}
	d.rename(change{sets: []set{{parent, name, nil}}, about: []*inode{parent, node}})
	return 0
}

// move renames; what had the new name before is gone, unless keep says to refuse
// that.
func (d *Disk) move(fromFolder uint64, fromName string, toFolder uint64, toName string, keep bool) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	from, node, errno := d.child(fromFolder, fromName)
	if errno != 0 {
		return errno
	}
	to, old, errno := d.child(toFolder, toName)
	switch {
	case errno != 0:
		return errno
	case node == nil:
		return syscall.ENOENT
	case old == node:
		return 0
	case old != nil && keep:
		return syscall.EEXIST
	case old != nil && old.folder && !node.folder:
		return syscall.EISDIR
	case old != nil && !old.folder && node.folder:
		return syscall.ENOTDIR
	case old != nil && len(old.entries) > 0:
		return syscall.ENOTEMPTY
	}
	if errno := d.allow(OpName, node.path()); errno != 0 {
		return errno
	}
	about := []*inode{from, to, node}
	if old != nil {
		about = append(about, old)
	}
	d.rename(change{sets: []set{{from, fromName, nil}, {to, toName, node}}, about: about})
	return 0
}

// rename makes a change of names.
func (d *Disk) rename(c change) {
	for _, s := range c.sets {
		if old := s.folder.entries[s.name]; old != nil {
			old.parent = nil
			d.pages -= int64(len(old.live.pages))
		}
		if s.node == nil {
			delete(s.folder.entries, s.name)
			continue
		}
		s.folder.entries[s.name] = s.node
		s.node.parent, s.node.name = s.folder, s.name
		d.pages += int64(len(s.node.live.pages))
	}
	d.journal = append(d.journal, c)
}

// read reads from a file.
func (d *Disk) read(id uint64, p []byte, off int64) (int, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, errno := d.get(id)
	if errno != 0 {
		return 0, errno
	}
	if errno := d.allow(OpRead, n.path()); errno != 0 {
		return 0, errno
	}
	return n.live.readAt(p, off), 0
}

// write writes to a file, and to the medium as well when it is told to.
func (d *Disk) write(id uint64, p []byte, off int64, through bool) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, errno := d.get(id)
	if errno != 0 {
		return errno
	}
	if errno := d.allow(OpWrite, n.path()); errno != 0 {
		return errno
	}
	missing := n.live.missing(off, int64(len(p)))
	if (d.pages+missing)*pageBytes > d.options.Bytes {
		return syscall.ENOSPC
	}
	n.live.writeAt(p, off)
	if n.parent != nil {
		d.pages += missing
	}
	n.pending = append(n.pending, pending{data: slices.Clone(p), off: off, size: n.live.size})
	if through {
		return d.flush(n)
	}
	return 0
}

// truncate sets a file's size.
func (d *Disk) truncate(id uint64, size int64) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, errno := d.get(id)
	if errno != 0 {
		return errno
	}
	if errno := d.allow(OpWrite, n.path()); errno != 0 {
		return errno
	}
	before := len(n.live.pages)
	n.live.truncate(size)
	if n.parent != nil {
		d.pages -= int64(before - len(n.live.pages))
	}
	n.pending = append(n.pending, pending{size: size, cut: true})
	return 0
}

// sync brings a file or folder to the medium.
func (d *Disk) sync(id uint64) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, errno := d.get(id)
	if errno != 0 {
		return errno
	}
	return d.flush(n)
}

// list returns the names in a folder, sorted.
func (d *Disk) list(id uint64) ([]string, []*inode, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, errno := d.get(id)
	if errno != 0 {
		return nil, nil, errno
	}
	if errno := d.allow(OpRead, n.path()); errno != 0 {
		return nil, nil, errno
	}
	names := slices.Sorted(maps.Keys(n.entries))
	nodes := make([]*inode, len(names))
	for i, name := range names {
		nodes[i] = n.entries[name]
	}
	return names, nodes, 0
}

// Files returns the content of every file that has a name, by its path. It is for
// comparing disks; holes are zeros.
func (d *Disk) Files() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	files := map[string][]byte{}
	var walk func(n *inode)
	walk = func(n *inode) {
		for name, child := range n.entries {
			if child.folder {
				walk(child)
				continue
			}
			b := make([]byte, child.live.size)
			child.live.readAt(b, 0)
			files[strings.TrimPrefix(path.Join(n.path(), name), "/")] = b
		}
	}
	walk(d.inodes[rootID])
	return files
}
