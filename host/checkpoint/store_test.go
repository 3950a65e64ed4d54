package checkpoint

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOpenTwice(t *testing.T) {
	dir := t.TempDir()
	s, _ := mustOpen(t, dir, testOptions())
	_, err := Open(dir, testOptions())
	var inUse *InUseError
	if !errors.As(err, &inUse) || inUse.Dir != dir || inUse.PID != os.Getpid() || inUse.Host == "" {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "in use by process") {
		t.Fatalf("got %q", err)
	}
	if err := os.Truncate(filepath.Join(dir, lockName), 0); err != nil {
		t.Fatal(err)
	}
	if _, err = Open(dir, testOptions()); !strings.Contains(err.Error(), "in use by another process") {
		t.Fatalf("got %q", err)
	}
	id := s.ID()
	mustClose(t, s)
	if err := s.Close(); !errors.Is(err, ErrClosed) {
		t.Fatalf("second Close: %v", err)
	}
	s, _ = mustOpen(t, dir, testOptions())
	if len(id) != 32 || s.ID() != id {
		t.Fatalf("id %q became %q", id, s.ID())
	}
	mustClose(t, s)
	other, _ := mustOpen(t, t.TempDir(), testOptions())
	if other.ID() == id {
		t.Fatal("two stores have one id")
	}
	mustClose(t, other)
}

func TestClosed(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	mustCommit(t, p, scripted(1))
	mustClose(t, s)
	nothing := func() error { return nil }
	for name, call := range map[string]func() error{
		"Partition":   func() error { _, err := s.Partition(0); return err },
		"Header":      func() error { _, _, err := p.Header(); return err },
		"Commit":      func() error { return p.Commit(&Commit{}) },
		"Load":        func() error { return p.Load(0, func(_, _ []byte) error { return nothing() }) },
		"LogRange":    func() error { return p.LogRange(0, 1, 0, func(uint64, []byte) error { return nothing() }) },
		"LogBackward": func() error { return p.LogBackward(0, func(uint64, []byte) error { return nothing() }) },
		"Entry":       func() error { _, err := p.Entry(0, 1); return err },
		"Verify":      func() error { return p.Verify(t.Context()) },
	} {
		if err := call(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s of a closed store: %v", name, err)
		}
	}
}

// TestCloseWaits for a Load in progress.
func TestCloseWaits(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	mustCommit(t, p, scripted(7))
	inside, closed := make(chan struct{}), make(chan error)
	go func() {
		<-inside
		closed <- s.Close()
	}()
	first := true
	err := p.Load(0, func(_, _ []byte) error {
		if first {
			first = false
			close(inside)
		}
		select {
		case <-closed:
			return errors.New("closed while loading")
		default:
			return nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
}

func TestVersion(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s, _ := mustOpen(t, dir, testOptions())
	mustClose(t, s)
	version := filepath.Join(dir, versionName)
	if err := os.WriteFile(version, []byte("something else\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var broken *BrokenError
	if _, err := Open(dir, testOptions()); !errors.As(err, &broken) {
		t.Fatalf("got %v", err)
	}
	for _, found := range []string{"tollway-state 4\n", "tollway-state 2\n"} {
		if err := os.WriteFile(version, []byte(found), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dir, testOptions())
		var unknown *VersionError
		if !errors.As(err, &unknown) || unknown.Found != strings.TrimSpace(found) || unknown.Older != (found == "tollway-state 2\n") ||
			!strings.Contains(err.Error(), `this program reads "tollway-state 3"`) {
			t.Fatalf("got %v", err)
		}
	}
	if err := os.WriteFile(version, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, testOptions()); err == nil || !strings.Contains(err.Error(), "VERSION is empty") {
		t.Fatalf("got %v", err)
	}
	if err := os.Remove(version); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, testOptions()); err == nil || !strings.Contains(err.Error(), "no VERSION file") {
		t.Fatalf("got %v", err)
	}
	if err := os.WriteFile(version, []byte(versionText+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The id is there twice; each mends the other, and without either there is none.
	id, err := os.ReadFile(filepath.Join(dir, idName))
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(id), string(id[:1]), string(id[0]^1), 1) // whole digits, another sum
	for _, damage := range []string{"", "zz\n", "1234\n", other} {
		for _, names := range [][]string{{idName}, {idCopyName}, {idName, idCopyName}} {
			for _, name := range names {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(damage), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if len(names) == 2 {
				var broken *BrokenError
				if _, err := Open(dir, testOptions()); !errors.As(err, &broken) {
					t.Fatalf("with %q in both: %v", damage, err)
				}
				continue
			}
			s, _ := mustOpen(t, dir, testOptions())
			if got := s.ID(); got != strings.Fields(string(id))[0] {
				t.Errorf("the id was %s and is %s", id, got)
			}
			mustClose(t, s)
		}
		for _, name := range []string{idName, idCopyName} {
			if err := os.WriteFile(filepath.Join(dir, name), id, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestOpenAfterCrashWhileCreating completes a directory that was left half-way.
func TestOpenAfterCrashWhileCreating(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{lockName, versionName + ".new"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, _ := mustOpen(t, dir, testOptions())
	mustClose(t, s)
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, versionName), []byte(versionText+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = mustOpen(t, dir, testOptions())
	mustClose(t, s)
}

func TestOpenErrors(t *testing.T) {
	o := Options{MemTableBytes: 1, FoldRunsMax: 1, FreeMinBytes: -1}
	_, err := Open(t.TempDir(), o)
	for _, name := range []string{"MemTableBytes is 1", "ValueFileBytes", "FoldRunsMax is 1", "FreeMinBytes is -1", "Now is nil"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not say %q: %v", name, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if _, err := Open(dir, testOptions()); err == nil || !strings.Contains(err.Error(), "create data directory") {
			t.Errorf("%s: got %v", dir, err)
		}
	}
	s, _ := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	for _, p := range []int{-1, partitionMax + 1} {
		if _, err := s.Partition(p); err == nil || !strings.Contains(err.Error(), "must be from 0 to 65535") {
			t.Errorf("partition %d: got %v", p, err)
		}
	}
}

func TestOpenDamagedBadger(t *testing.T) {
	dir := t.TempDir()
	s, _ := mustOpen(t, dir, testOptions())
	mustClose(t, s)
	if err := os.WriteFile(filepath.Join(dir, badgerName, "MANIFEST"), []byte("not a manifest at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	o := testOptions()
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	if _, err := Open(dir, o); err == nil || !strings.Contains(err.Error(), "is damaged: ") {
		t.Fatalf("got %v", err)
	}
	// The lock is free again.
	if err := os.RemoveAll(filepath.Join(dir, badgerName)); err != nil {
		t.Fatal(err)
	}
	s, _ = mustOpen(t, dir, o)
	mustClose(t, s)
	badgerLogger{o.Logger, newTroubles()}.Warningf("some %s\n", "thing")
	badgerLogger{o.Logger, newTroubles()}.Errorf("worse")
	badgerLogger{o.Logger, newTroubles()}.Infof("no %d", 1)
	badgerLogger{o.Logger, newTroubles()}.Debugf("no")
	if text := log.String(); !strings.Contains(text, `level=WARN msg="badger: some thing"`) ||
		!strings.Contains(text, `level=ERROR msg="badger: worse"`) || strings.Contains(text, "no 1") {
		t.Fatalf("log: %s", text)
	}
}

func TestStats(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	for n := range uint64(14) {
		mustCommit(t, p, scripted(n+1))
	}
	foldAll(t, s)
	stats := s.Stats()
	if stats.Commits != 14 || stats.Transactions < 14 || stats.Entries == 0 || stats.BytesWritten == 0 || stats.Folds == 0 ||
		stats.FoldBytesRead == 0 || stats.FoldBytesWritten == 0 || stats.LastFold <= 0 || len(stats.Partitions) != 1 {
		t.Fatalf("%+v", stats)
	}
	one := stats.Partitions[0]
	if one.Partition != p.Number() || one.Checkpoint != 14 || one.LastCommit <= 0 || one.SlowestCommit < one.LastCommit || one.Stopped != nil {
		t.Fatalf("%+v", one)
	}
	if len(one.Sets) != modelTables+modelLogs || one.Sets[0].Log || !one.Sets[modelTables].Log ||
		one.Sets[modelTables].Entries < p.LogLast(0)-p.LogFirst(0)+1 || one.Sets[0].Runs == 0 || one.Sets[0].Segments == 0 || one.Sets[0].Bytes == 0 {
		t.Fatalf("%+v", one.Sets)
	}
	disk, err := s.DiskBytes()
	if err != nil || disk < int64(one.Sets[0].Bytes) {
		t.Fatalf("%d bytes on the disk, %v", disk, err)
	}
}

// TestOpenOverEmptyLogs: a kill while Badger makes or removes a log file leaves
// one without bytes.
func TestOpenOverEmptyLogs(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	mustCommit(t, p, scripted(1))
	mustClose(t, s)
	for _, name := range []string{"00000.mem", "00077.mem", "000077.vlog"} {
		if err := os.WriteFile(filepath.Join(s.dir.badgerPath(), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, p = mustOpen(t, s.dir.path, testOptions())
	defer mustClose(t, s)
	want := newModel()
	want.scriptedTo(1)
	want.check(t, p)
}

// TestRealOptions are valid, and a small store opens and closes at once.
func TestRealOptions(t *testing.T) {
	for name, o := range map[string]Options{"default": DefaultOptions(), "small": SmallOptions()} {
		o.FreeMinBytes = 0 // the machine of the test may have little left
		start := time.Now()
		s, p := mustOpen(t, t.TempDir(), o)
		opened := time.Since(start)
		mustCommit(t, p, scripted(7))
		disk, err := s.DiskBytes()
		if err != nil || disk > 16<<20 {
			t.Errorf("%s: an almost empty store takes %d MiB (%v)", name, disk>>20, err)
		}
		mustClose(t, s)
		t.Logf("%s: opened in %v, open and closed in %v", name, opened, time.Since(start))
	}
}
