//go:build linux

package faultfs

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Mount is a disk in a folder.
type Mount struct {
	server *fuse.Server
	folder string
}

// Attach makes a disk the content of a folder.
//
// # Errors
//
// ErrUnavailable where this process may not do that.
func Attach(folder string, d *Disk) (*Mount, error) {
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := device.Close(); err != nil {
		return nil, fmt.Errorf("faultfs: %w", err)
	}
	server, err := fuse.NewServer(&files{RawFileSystem: fuse.NewDefaultRawFileSystem(), disk: d}, folder, &fuse.MountOptions{
		FsName: "faultfs", Name: "faultfs", DirectMountStrict: true, DisableXAttrs: true, DisableReadDirPlus: true, MaxWrite: 1 << 20,
	})
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("faultfs: mount: %w", err)
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return nil, errors.Join(fmt.Errorf("faultfs: mount: %w", err), unix.Unmount(folder, unix.MNT_DETACH))
	}
	return &Mount{server, folder}, nil
}

// Close takes the disk out of its folder. What the system still kept of files that
// were written to goes to the disk before, and nowhere when that has no power.
func (m *Mount) Close() error {
	if err := m.server.Unmount(); err != nil {
		if detach := unix.Unmount(m.folder, unix.MNT_DETACH); detach != nil {
			return fmt.Errorf("faultfs: unmount: %w", errors.Join(err, detach))
		}
	}
	m.server.Wait()
	return nil
}

// files answers the kernel. Times are all the same, so that the kernel keeps what
// it has read, and so that nothing depends on a clock.
type files struct {
	fuse.RawFileSystem
	disk *Disk
}

// kept is how long the kernel may rely on what it was told: only it changes
// anything.
const kept = time.Hour

// attributes fills in what stat says. The disk is locked.
func (n *inode) attributes(a *fuse.Attr) {
	*a = fuse.Attr{Ino: n.id, Nlink: 1, Blksize: pageBytes, Mode: n.mode, Owner: *fuse.CurrentOwner()}
	if n.folder {
		a.Mode |= syscall.S_IFDIR
		a.Nlink = 2
		return
	}
	a.Mode |= syscall.S_IFREG
	a.Size, a.Blocks = uint64(n.live.size), uint64(len(n.live.pages)*pageBytes/sectorBytes)
}

// entry fills in an answer about a name.
func (f *files) entry(n *inode, out *fuse.EntryOut) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	out.NodeId, out.Generation = n.id, 1
	out.SetEntryTimeout(kept)
	out.SetAttrTimeout(kept)
	n.attributes(&out.Attr)
}

// attributesOf fills in an answer about an inode.
func (f *files) attributesOf(id uint64, out *fuse.AttrOut) fuse.Status {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	n, errno := f.disk.get(id)
	if errno != 0 {
		return fuse.Status(errno)
	}
	out.SetTimeout(kept)
	n.attributes(&out.Attr)
	return fuse.OK
}

// Lookup looks for a name.
func (f *files) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	f.disk.mu.Lock()
	_, n, errno := f.disk.child(h.NodeId, name)
	if errno == 0 {
		errno = f.disk.allow(OpRead, name)
	}
	f.disk.mu.Unlock()
	switch {
	case errno != 0:
		return fuse.Status(errno)
	case n == nil:
		return fuse.ENOENT
	}
	f.entry(n, out)
	return fuse.OK
}

// GetAttr is stat.
func (f *files) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return f.attributesOf(in.NodeId, out)
}

// SetAttr sets sizes and permissions. Owners and times stay.
func (f *files) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if size, ok := in.GetSize(); ok {
		if errno := f.disk.truncate(in.NodeId, int64(size)); errno != 0 {
			return fuse.Status(errno)
		}
	}
	if mode, ok := in.GetMode(); ok {
		f.disk.mu.Lock()
		if n, errno := f.disk.get(in.NodeId); errno == 0 {
			n.mode = mode
		}
		f.disk.mu.Unlock()
	}
	return f.attributesOf(in.NodeId, out)
}

// made answers a call that made a file or folder.
func (f *files) made(folder uint64, name string, isFolder bool, mode uint32, out *fuse.EntryOut) fuse.Status {
	n, errno := f.disk.make(folder, name, isFolder, mode&0o7777)
	if errno != 0 {
		return fuse.Status(errno)
	}
	f.entry(n, out)
	return fuse.OK
}

// Mkdir makes a folder.
func (f *files) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return f.made(in.NodeId, name, true, in.Mode, out)
}

// Mknod makes a file.
func (f *files) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	if in.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return fuse.EPERM
	}
	return f.made(in.NodeId, name, false, in.Mode, out)
}

// Create makes and opens a file.
func (f *files) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return f.made(in.NodeId, name, false, in.Mode, &out.EntryOut)
}

// Open opens a file.
func (f *files) Open(_ <-chan struct{}, in *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
	return f.opened(in.NodeId)
}

// OpenDir opens a folder.
func (f *files) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
	return f.opened(in.NodeId)
}

func (f *files) opened(id uint64) fuse.Status {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	n, errno := f.disk.get(id)
	if errno == 0 {
		errno = f.disk.allow(OpRead, n.path())
	}
	return fuse.Status(errno)
}

// Unlink removes a file.
func (f *files) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return fuse.Status(f.disk.remove(h.NodeId, name, false))
}

// Rmdir removes a folder.
func (f *files) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return fuse.Status(f.disk.remove(h.NodeId, name, true))
}

// Rename renames.
func (f *files) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	if in.Flags&^unix.RENAME_NOREPLACE != 0 {
		return fuse.EINVAL
	}
	return fuse.Status(f.disk.move(in.NodeId, from, in.Newdir, to, in.Flags != 0))
}

// Read reads.
func (f *files) Read(_ <-chan struct{}, in *fuse.ReadIn, buffer []byte) (fuse.ReadResult, fuse.Status) {
	n, errno := f.disk.read(in.NodeId, buffer[:min(len(buffer), int(in.Size))], int64(in.Offset))
	return fuse.ReadResultData(buffer[:n]), fuse.Status(errno)
}

// Write writes.
func (f *files) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	through := in.WriteFlags&fuse.WRITE_CACHE == 0 && in.Flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0
	if errno := f.disk.write(in.NodeId, data, int64(in.Offset), through); errno != 0 {
		return 0, fuse.Status(errno)
	}
	return uint32(len(data)), fuse.OK
}

// Writev writes.
func (f *files) Writev(cancel <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	all := make([]byte, 0, in.Size)
	for _, part := range data {
		all = append(all, part...)
	}
	return f.Write(cancel, in, all)
}

// Fallocate makes a file longer; it sets nothing aside.
func (f *files) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	if in.Mode != 0 {
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	f.disk.mu.Lock()
	n, errno := f.disk.get(in.NodeId)
	end := int64(in.Offset + in.Length)
	grows := errno == 0 && n.live.size < end
	f.disk.mu.Unlock()
	if !grows {
		return fuse.Status(errno)
	}
	return fuse.Status(f.disk.truncate(in.NodeId, end))
}

// Flush is called when a file is closed, which brings nothing to the medium.
func (f *files) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

// Fsync syncs a file.
func (f *files) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return fuse.Status(f.disk.sync(in.NodeId))
}

// FsyncDir syncs a folder.
func (f *files) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return fuse.Status(f.disk.sync(in.NodeId))
}

// ReadDir lists a folder.
func (f *files) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	names, nodes, errno := f.disk.list(in.NodeId)
	if errno != 0 {
		return fuse.Status(errno)
	}
	for i := int(in.Offset); i < len(names); i++ {
		mode := uint32(syscall.S_IFREG)
		if nodes[i].folder {
			mode = syscall.S_IFDIR
		}
		if !out.AddDirEntry(fuse.DirEntry{Name: names[i], Ino: nodes[i].id, Mode: mode, Off: uint64(i + 1)}) {
			break
		}
	}
	return fuse.OK
}

// StatFs says how much space there is.
func (f *files) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	out.Bsize, out.Frsize, out.NameLen = pageBytes, pageBytes, 255
	out.Blocks = uint64(f.disk.options.Bytes / pageBytes)
	out.Bfree = uint64(max(0, f.disk.options.Bytes/pageBytes-f.disk.pages))
	out.Bavail = out.Bfree
	return fuse.OK
}
