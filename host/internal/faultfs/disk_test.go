package faultfs

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

func must(t rapid.TB, errno syscall.Errno) {
	t.Helper()
	if errno != 0 {
		t.Fatal(errno)
	}
}

// newFile makes a file in the outermost folder.
func newFile(t rapid.TB, d *Disk, name string) uint64 {
	t.Helper()
	n, errno := d.make(rootID, name, false, 0o600)
	must(t, errno)
	return n.id
}

// Contents are what a slice of bytes would hold.
func TestContent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c content
		var want []byte
		for range rapid.IntRange(1, 30).Draw(t, "calls") {
			off := rapid.IntRange(0, 3*pageBytes).Draw(t, "off")
			if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
				c.truncate(int64(off))
				want = append(want, make([]byte, max(0, off-len(want)))...)[:off:off]
				continue
			}
			p := bytes.Repeat([]byte{byte(rapid.IntRange(1, 255).Draw(t, "byte"))}, rapid.IntRange(0, 2*pageBytes).Draw(t, "bytes"))
			c.writeAt(p, int64(off))
			want = append(want, make([]byte, max(0, off+len(p)-len(want)))...)
			copy(want[off:], p)
		}
		got := make([]byte, len(want)+10)
		if n := c.readAt(got, 0); n != len(want) || !bytes.Equal(got[:n], want) || int(c.size) != len(want) {
			t.Fatalf("%d bytes of %d, or others", n, len(want))
		}
	})
}

// diskModel knows what a power cut may leave of each file: one of its versions
// since it was last synced, byte by byte.
type diskModel struct {
	ids      map[string]uint64
	versions map[string][][]byte
	named    map[string]bool // the name was synced
}

// act makes one change, chosen by the test, to the disk and to the model.
func (m *diskModel) act(t *rapid.T, d *Disk) {
	name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")
	id, there := m.ids[name]
	if !there {
		m.ids[name] = newFile(t, d, name)
		m.versions[name] = [][]byte{nil}
		return
	}
	versions := m.versions[name]
	now := slices.Clone(versions[len(versions)-1])
	switch rapid.IntRange(0, 4).Draw(t, "act") {
	case 0:
		must(t, d.sync(id))
		m.versions[name] = [][]byte{now}
		if !d.options.Strict {
			m.named[name] = true
		}
	case 1:
		must(t, d.sync(rootID))
		for name := range m.ids {
			m.named[name] = true
		}
	case 2:
		size := rapid.IntRange(0, 2*pageBytes).Draw(t, "size")
		must(t, d.truncate(id, int64(size)))
		now = append(now, make([]byte, max(0, size-len(now)))...)[:size]
		m.versions[name] = append(versions, now)
	default:
		off := rapid.IntRange(0, pageBytes).Draw(t, "off")
		p := bytes.Repeat([]byte{byte(rapid.IntRange(1, 255).Draw(t, "byte"))}, rapid.IntRange(1, 3000).Draw(t, "bytes"))
		must(t, d.write(id, p, int64(off), false))
		now = append(now, make([]byte, max(0, off+len(p)-len(now)))...)
		copy(now[off:], p)
		m.versions[name] = append(versions, now)
	}
}

// may reports whether a file can be what a power cut has left: every byte is that of
// some version, and it has some version's size.
func (m *diskModel) may(name string, got []byte) error {
	versions := m.versions[name]
	if !slices.ContainsFunc(versions, func(v []byte) bool { return len(v) == len(got) }) {
		return fmt.Errorf("%s has %d bytes, which it never had", name, len(got))
	}
	for at, b := range got {
		if b != 0 || len(versions) == 1 {
			if !slices.ContainsFunc(versions, func(v []byte) bool { return at < len(v) && v[at] == b }) {
				return fmt.Errorf("byte %d of %s is %d, which it never was", at, name, b)
			}
		}
	}
	return nil
}

// What was synced is there after any power cut, and nothing is that never was.
func TestPowerCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := New(Options{Strict: rapid.Bool().Draw(t, "strict")})
		m := &diskModel{ids: map[string]uint64{}, versions: map[string][][]byte{}, named: map[string]bool{}}
		for range rapid.IntRange(1, 25).Draw(t, "acts") {
			m.act(t, d)
		}
		d.CutAfter(0)
		if errno := d.sync(rootID); errno != syscall.EIO {
			t.Fatalf("a sync without power: %v", errno)
		}
		d.PowerOn(rapid.Uint64().Draw(t, "seed"))
		files := d.Files()
		for name := range m.ids {
			got, there := files[name]
			if !there && m.named[name] {
				t.Fatalf("%s is gone", name)
			}
			if there {
				if err := m.may(name, got); err != nil {
					t.Fatal(err)
				}
			}
		}
		d.CutAfter(0) // what has survived is on the medium
		d.PowerOn(rapid.Uint64().Draw(t, "again"))
		if !maps.EqualFunc(files, d.Files(), bytes.Equal) {
			t.Fatal("a second power cut has changed the disk")
		}
	})
}

// scene is a few changes, some synced.
func scene(t *testing.T, options Options) *Disk {
	t.Helper()
	d := New(options)
	a := newFile(t, d, "a")
	must(t, d.write(a, bytes.Repeat([]byte{1}, 5000), 0, false))
	must(t, d.sync(a))
	for n := range 10 {
		must(t, d.write(a, bytes.Repeat([]byte{2}, 3000), int64(n*1000), false))
		newFile(t, d, fmt.Sprint("later", n))
	}
	must(t, d.move(rootID, "later0", rootID, "a", false))
	return d
}

// The seed decides all of what a power cut leaves, and different seeds differ.
func TestSeedDecides(t *testing.T) {
	left := map[string]bool{}
	for seed := range uint64(40) {
		var texts []string
		for range 2 {
			d := scene(t, Options{})
			texts = append(texts, fmt.Sprint(d.PowerOn(seed), d.Files()))
		}
		if texts[0] != texts[1] {
			t.Fatalf("seed %d leaves different disks", seed)
		}
		left[texts[0]] = true
	}
	if len(left) < 30 {
		t.Errorf("40 seeds leave only %d different disks", len(left))
	}
}

// Names last as a journal keeps them, or, strictly, when their folder was synced.
func TestNames(t *testing.T) {
	for _, strict := range []bool{false, true} {
		kept := 0
		for seed := range uint64(20) {
			d := New(Options{Strict: strict})
			first := newFile(t, d, "first")
			second := newFile(t, d, "second")
			must(t, d.sync(second))
			newFile(t, d, "third")
			d.PowerOn(seed)
			files := d.Files()
			if !strict && (files["first"] == nil || files["second"] == nil) {
				t.Fatalf("seed %d: of what came before a sync there is only %v", seed, slices.Collect(maps.Keys(files)))
			}
			kept += len(files)
			_, _ = first, second
		}
		if strict && (kept == 0 || kept == 60) {
			t.Errorf("in 20 power cuts %d of 60 names have lasted", kept)
		}
	}
	d := New(Options{Strict: true})
	newFile(t, d, "first")
	must(t, d.sync(rootID))
	must(t, d.move(rootID, "first", rootID, "second", false))
	for seed := range uint64(20) { // renamed or not, and there under one name
		d.PowerOn(seed)
		if files := d.Files(); len(files) != 1 {
			t.Fatalf("seed %d: %d files", seed, len(files))
		}
	}
}

// A write whose sync has failed is not on the medium, whatever comes later.
func TestFailedSync(t *testing.T) {
	d := New(Options{})
	a := newFile(t, d, "a")
	must(t, d.write(a, []byte("old"), 0, true))
	d.Inject(Fault{Op: OpSync, Path: "a", Fail: 1, Err: syscall.EIO})
	must(t, d.write(a, []byte("new"), 0, false))
	if errno := d.sync(a); errno != syscall.EIO {
		t.Fatalf("the sync: %v", errno)
	}
	must(t, d.sync(a))
	must(t, d.write(a, []byte("!"), 3, true))
	for seed := range uint64(20) {
		d.PowerOn(seed)
		if got := string(d.Files()["a"]); got != "old!" {
			t.Fatalf("seed %d: %q", seed, got)
		}
	}
}

// Faults are counted, and end.
func TestFaults(t *testing.T) {
	d := New(Options{Bytes: 2 * pageBytes})
	a := newFile(t, d, "a")
	d.Inject(Fault{Op: OpWrite, Path: "a", Skip: 1, Fail: 2, Err: syscall.EIO})
	var got []syscall.Errno
	for range 4 {
		got = append(got, d.write(a, []byte("x"), 0, false))
	}
	if want := []syscall.Errno{0, syscall.EIO, syscall.EIO, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if errno := d.write(a, make([]byte, 2*pageBytes), 1, false); errno != syscall.ENOSPC {
		t.Errorf("three pages on a disk of two: %v", errno)
	}
	if d.Used() != pageBytes {
		t.Errorf("%d bytes are used", d.Used())
	}
	must(t, d.remove(rootID, "a", false))
	if d.Used() != 0 {
		t.Errorf("%d bytes are used by nothing", d.Used())
	}
	d.CutAfter(2)
	newFile(t, d, "b")
	newFile(t, d, "c")
	select {
	case <-d.Off():
		t.Error("the power has failed too early")
	default:
	}
	if _, errno := d.make(rootID, "d", false, 0); !errors.Is(errno, syscall.EIO) {
		t.Errorf("after the power has failed: %v", errno)
	}
	<-d.Off()
}
