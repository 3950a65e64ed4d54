package checkpoint

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tollway/tollway/host/internal/faultfs"
)

// childStuck commits until the disk refuses what Badger has in memory, and closes.
func childStuck(dir string) error {
	s, err := Open(dir, testOptions())
	if err != nil {
		return err
	}
	s.commitTries, s.closeTries = 2, 2
	p, err := s.Partition(3)
	if err != nil {
		return err
	}
	for n := uint64(1); err == nil; n++ {
		// Small values go through the buffers of Badger, of which there are five.
		commit := &Commit{Header: fmt.Appendf(nil, "header %d", n), Puts: map[uint8][]Entry{1: nil}}
		for k := range 18 {
			commit.Puts[1] = append(commit.Puts[1], Entry{Key: fmt.Appendf(nil, "key %d", k), Value: make([]byte, 200)})
		}
		if err = p.Commit(commit); err == nil {
			fmt.Println("reached", n)
		}
	}
	fmt.Println("commit:", err)
	var stuck *FlushError
	if !errors.As(err, &stuck) || !errors.Is(err, ErrUncertain) {
		return err
	}
	err = s.Close()
	fmt.Println("close:", err)
	if !errors.As(err, &stuck) {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// A disk that takes no more tables has Badger try again for ever. Neither a commit nor
// Close waits that long; the checkpoints before are there when the disk is well again.
func TestDiskRefusesTables(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	folder, detach := faultfs.MustAttach(t, disk)
	disk.Inject(faultfs.Fault{Op: faultfs.OpName, Path: ".sst", Err: syscall.EIO})
	writer := child("stuck", filepath.Join(folder, "data"))
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	reached, said := uint64(0), []string(nil)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "reached %d", &reached); err != nil {
			said = append(said, lines.Text())
		}
	}
	if err := writer.Wait(); err != nil || len(said) != 2 || !strings.Contains(said[0], "input/output error") {
		t.Errorf("%v: %q", err, said)
	}
	detach()
	dir := t.TempDir()
	for name, b := range disk.Files() {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(filepath.Join(dir, "data"), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	p, err := s.Partition(3)
	if err != nil {
		t.Fatal(err)
	}
	if _, number, err := p.Header(); err != nil || reached == 0 || number < reached || number > reached+1 {
		t.Errorf("at checkpoint %d, the writer had reached %d: %v", number, reached, err)
	}
	if err := p.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}
