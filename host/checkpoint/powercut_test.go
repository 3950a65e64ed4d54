package checkpoint

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tollway/tollway/host/internal/faultfs"
)

var powerCuts = flag.Int("cuts", 50, "power cuts of TestPowerCuts")

// TestPowerCuts cuts the power of the disk at any change that a writer, its folds
// and its start make to it: what the writer said it had reached is there, and the
// state is exactly some checkpoint. Where names last only as POSIX promises, Badger
// may lose a file that it has synced, with the checkpoints in it; the state is a
// checkpoint, or says that it is damaged.
func TestPowerCuts(t *testing.T) {
	const perDisk = 5
	cuts := *powerCuts
	if testing.Short() { // under the race detector a cut takes ten times as long
		cuts = min(cuts, 2*perDisk)
	}
	var lost faultfs.Losses
	last, behind, damaged := uint64(0), 0, 0
	for n := 0; n < cuts; n += perDisk {
		c := &cutDisk{t: t, number: n / perDisk, disk: faultfs.New(faultfs.Options{Strict: n/perDisk%3 == 2}), strict: n/perDisk%3 == 2, want: newModel(), chance: rand.New(rand.NewPCG(uint64(n), 7))}
		for range min(perDisk, cuts-n) {
			c.cut()
			if t.Failed() {
				t.Fatalf("disk %d; to repeat this run: go test ./host/checkpoint -run TestPowerCuts -cuts %d", n/perDisk, cuts)
			}
			if c.damaged > 0 {
				break
			}
		}
		last, behind, damaged = last+c.want.number, behind+c.behind, damaged+c.damaged
		lost.Writes += c.lost.Writes
		lost.SectorsLost += c.lost.SectorsLost
		lost.SectorsTorn += c.lost.SectorsTorn
		lost.NamesLost += c.lost.NamesLost
	}
	t.Logf("%d power cuts, %d checkpoints; lost of what was not synced: %d sectors, %d torn, %d names; with strict names %d times behind, %d times damaged and said so",
		cuts, last, lost.SectorsLost, lost.SectorsTorn, lost.NamesLost, behind, damaged)
	if last == 0 {
		t.Error("no writer lived long enough to commit")
	}
}

// cutDisk is a disk with a store that is cut again and again.
type cutDisk struct {
	t       *testing.T
	number  int
	disk    *faultfs.Disk
	strict  bool
	want    *model
	reached uint64
	chance  *rand.Rand
	lost    faultfs.Losses
	behind  int // cuts that took a checkpoint which was reached
	damaged int // cuts that left what is refused
}

// cut lets a writer live until the power fails, and looks at what is left.
func (c *cutDisk) cut() {
	c.t.Helper()
	folder, detach := faultfs.MustAttach(c.t, c.disk)
	c.disk.CutAfter(1 + c.chance.Uint64N(150))
	writer := child("writer", filepath.Join(folder, "data"))
	writer.Stderr = nil // it complains of a disk without power
	out, err := writer.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		c.t.Fatal(err)
	}
	off, ended := c.disk.Off(), make(chan struct{})
	go func() {
		select {
		case <-off:
			_ = writer.Process.Kill() // Badger tries again for ever what the disk refuses
		case <-ended:
		}
	}()
	problem := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var n uint64
		if _, err := fmt.Sscanf(lines.Text(), "reached %d", &n); err == nil {
			c.reached = max(c.reached, n)
		} else {
			problem = lines.Text()
		}
	}
	_ = writer.Wait() // that it ended is no news: it has no disk
	close(ended)
	select {
	case <-off:
	default:
		c.t.Fatalf("the writer has ended with power: %s", problem)
	}
	detach()
	lost := c.disk.PowerOn(c.chance.Uint64())
	c.lost.Writes += lost.Writes
	c.lost.SectorsLost += lost.SectorsLost
	c.lost.SectorsTorn += lost.SectorsTorn
	c.lost.NamesLost += lost.NamesLost
	c.look()
}

// look opens a copy of what is left.
func (c *cutDisk) look() {
	c.t.Helper()
	dir := c.t.TempDir()
	for name, b := range c.disk.Files() {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	s, err := Open(filepath.Join(dir, "data"), testOptions())
	if err != nil {
		if c.strict && strings.Contains(err.Error(), "damaged") {
			c.damaged++
			return
		}
		c.t.Fatal(err)
	}
	p, err := s.Partition(3)
	if err != nil {
		c.t.Fatal(err)
	}
	_, number, err := p.Header()
	switch {
	case err != nil:
		c.t.Fatal(err)
	case number < c.reached && c.strict:
		c.behind++
		c.reached, c.want = number, newModel()
	case number < c.reached || number > c.reached+1:
		c.t.Fatalf("at checkpoint %d, the writer had reached %d", number, c.reached)
	}
	c.want.scriptedTo(number)
	if d := c.want.difference(p); d != "" && c.strict && strings.Contains(d, "damaged") {
		c.damaged++
		mustClose(c.t, s)
		return
	} else if d != "" {
		c.t.Fatalf("disk %d (strict: %t), at checkpoint %d, the writer had reached %d: %s", c.number, c.strict, number, c.reached, d)
	}
	checkNothingLeft(c.t, s)
	foldAll(c.t, s)
	c.want.check(c.t, p)
	mustClose(c.t, s)
	if err := os.RemoveAll(dir); err != nil {
		c.t.Error(err)
	}
}
