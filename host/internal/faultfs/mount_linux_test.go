package faultfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain is also the program that maps a file into memory: one process cannot
// both serve a disk and wait for it in a page fault.
func TestMain(m *testing.M) {
	if name := os.Getenv("FAULTFS_MAP"); name != "" {
		if err := mapped(name); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// mapped writes two pages through a memory map, syncs the first, and dies with the
// second in its memory.
func mapped(name string) error {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := file.Truncate(4 * pageBytes); err != nil {
		return err
	}
	m, err := unix.Mmap(int(file.Fd()), 0, 4*pageBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	copy(m, "synced")
	if err := unix.Msync(m, unix.MS_SYNC); err != nil {
		return err
	}
	if err := os.WriteFile(name+".other", []byte("through the file"), 0o600); err != nil {
		return err
	}
	copy(m[pageBytes:], "not synced")
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// Memory maps reach the disk, and what msync answered is there after a power cut.
func TestMapped(t *testing.T) {
	kept := 0
	for seed := range uint64(10) {
		d := New(Options{})
		folder, detach := MustAttach(t, d)
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), "FAULTFS_MAP="+filepath.Join(folder, "file"))
		out, err := c.CombinedOutput()
		if err == nil || len(out) > 0 {
			t.Fatalf("%v: %s", err, out)
		}
		detach()
		d.PowerOn(seed)
		got := d.Files()["file"]
		if len(got) != 4*pageBytes || string(got[:6]) != "synced" {
			t.Fatalf("seed %d: %d bytes, which begin with %q", seed, len(got), got[:min(6, len(got))])
		}
		if bytes.HasPrefix(got[pageBytes:], []byte("not synced")) {
			kept++
		}
	}
	if kept == 0 || kept == 10 {
		t.Errorf("what was not synced survived %d of 10 power cuts", kept)
	}
}

// A mounted disk does what a file system does.
func TestMounted(t *testing.T) {
	d := New(Options{})
	folder, detach := MustAttach(t, d)
	want := map[string][]byte{}
	for n := range 3 {
		sub := filepath.Join(folder, fmt.Sprint("sub", n))
		if err := os.MkdirAll(filepath.Join(sub, "deep"), 0o700); err != nil {
			t.Fatal(err)
		}
		for k := range 40 {
			b := bytes.Repeat([]byte{byte(n), byte(k)}, 3000*k)
			if err := os.WriteFile(filepath.Join(sub, fmt.Sprint("file", k)), b, 0o600); err != nil {
				t.Fatal(err)
			}
			want[fmt.Sprintf("sub%d/file%d", n, k)] = b
		}
	}
	check := func(err error, wanted error) {
		t.Helper()
		if !errors.Is(err, wanted) {
			t.Errorf("got %v, want %v", err, wanted)
		}
	}
	check(os.Rename(filepath.Join(folder, "sub0/file1"), filepath.Join(folder, "sub1/file2")), nil)
	want["sub1/file2"] = want["sub0/file1"]
	delete(want, "sub0/file1")
	check(os.RemoveAll(filepath.Join(folder, "sub2")), nil)
	for k := range 40 {
		delete(want, fmt.Sprint("sub2/file", k))
	}
	check(os.Truncate(filepath.Join(folder, "sub1/file3"), 5), nil)
	want["sub1/file3"] = want["sub1/file3"][:5]
	check(os.Remove(filepath.Join(folder, "sub1")), syscall.ENOTEMPTY)
	check(os.Mkdir(filepath.Join(folder, "sub1"), 0o700), fs.ErrExist)
	_, err := os.Stat(filepath.Join(folder, "sub2"))
	check(err, fs.ErrNotExist)
	got := map[string][]byte{}
	err = fs.WalkDir(os.DirFS(folder), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			got[name], err = os.ReadFile(filepath.Join(folder, name))
		}
		return err
	})
	check(err, nil)
	for _, files := range []map[string][]byte{got, d.Files()} {
		if len(files) != len(want) {
			t.Errorf("%d files, want %d", len(files), len(want))
		}
		for name, b := range want {
			if !bytes.Equal(files[name], b) {
				t.Errorf("%s has %d bytes, want %d, or others", name, len(files[name]), len(b))
			}
		}
	}
	var stat unix.Statfs_t
	check(unix.Statfs(folder, &stat), nil)
	if stat.Blocks*uint64(stat.Bsize) != defaultBytes || int64(stat.Blocks-stat.Bavail)*stat.Bsize != d.Used() {
		t.Errorf("statfs: %+v, %d bytes are used", stat, d.Used())
	}
	d.CutAfter(0)
	check(os.WriteFile(filepath.Join(folder, "late"), []byte("x"), 0o600), syscall.EIO)
	detach()
}
