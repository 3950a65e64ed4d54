package checkpoint

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// looksAhead tells of each of Badger's files in dir that are mapped whether the system
// reads around a page of it.
func looksAhead(t *testing.T, dir string) map[string]bool {
	t.Helper()
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = smaps.Close() }()
	ahead, name := map[string]bool{}, ""
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		line := lines.Text()
		if _, _, ok := cutRange([]byte(line)); ok {
			name = ""
			if i := strings.Index(line, dir+"/"); i >= 0 {
				name = filepath.Base(line[i:])
			}
		}
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && name != "" {
			ahead[name] = !slices.Contains(strings.Fields(flags), "rr")
		}
	}
	return ahead
}

// The file that is written is read page by page, from the first transaction on and when
// Badger goes on to another.
func TestAdvice(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, p := mustOpen(t, dir, testOptions())
	rolls, newest := 0, ""
	check := func() {
		t.Helper()
		ahead := looksAhead(t, s.dir.badgerPath())
		if len(ahead) == 0 {
			t.Skip("the system does not tell how files are mapped")
		}
		files, err := filepath.Glob(filepath.Join(s.dir.badgerPath(), "*"+logExtension))
		if err != nil || len(files) == 0 {
			t.Fatalf("%d files: %v", len(files), err)
		}
		written := filepath.Base(slices.Max(files))
		if ahead[written] {
			t.Fatalf("%s is read ahead: %v", written, ahead)
		}
		if newest != written {
			newest = written
			rolls++
		}
	}
	check()
	small := &Commit{Header: make([]byte, 3_000)}
	for rolls < 4 {
		mustCommit(t, p, small)
		check()
	}
	mustClose(t, s)
	s, _ = mustOpen(t, dir, testOptions())
	check()
	mustClose(t, s)
}

// bytesDirtied is what the process has given to the disk, or will have, in whole pages.
func bytesDirtied(t *testing.T) (n int64) {
	t.Helper()
	io, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(io)) {
		if _, err := fmt.Sscanf(line, "write_bytes: %d", &n); err == nil {
			return n
		}
	}
	t.Skip("the system does not count")
	return 0
}

// dirtiedMax is what a commit may have written, as a multiple of what it stores, beside
// a few pages for each sync.
const dirtiedMax = 2

// TestDirtied: commits of a few hundred changes have little more written than what they
// hold, whatever units the system holds files in. Some megabytes have to go before into
// each file: the system begins with small ones. Without advice a commit wrote 25 times
// what it held, on a disk whose system reads 8 MiB ahead.
func TestDirtied(t *testing.T) {
	const partitions, commits, changed = 8, 200, 500
	o := DefaultOptions()
	o.FreeMinBytes = 0
	o.foldByHand = true
	s, _ := mustOpen(t, t.TempDir(), o)
	defer mustClose(t, s)
	before := bytesDirtied(t)
	var group errgroup.Group
	for i, p := range manyPartitions(t, s, partitions) {
		group.Go(func() error {
			for n := range commits {
				c := &Commit{Header: make([]byte, 500), Puts: map[uint8][]Entry{}}
				for k := range changed {
					key := fmt.Appendf(nil, "account-%d-%d", i, (n*7919+k*104729)%100_000)
					c.Puts[1] = append(c.Puts[1], Entry{Key: key, Value: make([]byte, 30)})
				}
				if err := p.Commit(c); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	dirtied := bytesDirtied(t) - before
	if dirtied == 0 {
		t.Skip("the temporary directory is in memory")
	}
	// A transaction ends within a page of each of the two logs, and begins in one that
	// was synced before.
	stored, transactions := int64(s.Stats().BytesWritten), int64(s.Stats().Transactions)
	most := dirtiedMax*stored + 4*int64(os.Getpagesize())*transactions
	t.Logf("%d bytes written, %d stored, in %d transactions; %d are allowed", dirtied, stored, transactions, most)
	if dirtied > most {
		t.Errorf("%d bytes were written for %d, more than %d", dirtied, stored, most)
	}
}
