package checkpoint

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// runChild is what a child process of the tests does; it never returns to the
// tests.
func runChild(role string) int {
	dir := os.Getenv("CHECKPOINT_DIR")
	var err error
	switch role {
	case "writer":
		err = childWriter(dir)
	case "step":
		err = childStep(dir)
	case "reader":
		err = childReader(dir)
	case "stuck":
		err = childStuck(dir)
	default:
		err = fmt.Errorf("no role %q", role)
	}
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

// child starts this test binary in a role.
func child(role, dir string, env ...string) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), append(env, "CHECKPOINT_CHILD="+role, "CHECKPOINT_DIR="+dir)...)
	c.Stderr = os.Stderr
	return c
}

// childWriter commits one scripted checkpoint after the other, with the fold
// beside it, and tells each number that it has reached, until it is killed.
func childWriter(dir string) error {
	o := testOptions()
	o.foldByHand = false
	s, err := Open(dir, o)
	if err != nil {
		return err
	}
	p, err := s.Partition(3)
	if err != nil {
		return err
	}
	_, number, err := p.Header()
	if err != nil {
		return err
	}
	for fmt.Println("reached", number); ; fmt.Println("reached", number) {
		number++
		if err := p.Commit(scripted(number)); err != nil {
			return err
		}
	}
}

// TestKillWriter kills a writer at random moments, again and again: what it
// said it had reached is there, and the state is exactly some checkpoint.
func TestKillWriter(t *testing.T) {
	cycles := 16
	if testing.Short() {
		cycles = 6
	}
	dir := t.TempDir()
	want := newModel()
	rng := rand.New(rand.NewPCG(1, 99))
	for cycle := range cycles {
		writer := child("writer", dir)
		out, err := writer.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		reached, problem := uint64(0), ""
		lines := bufio.NewScanner(out)
		stop := time.AfterFunc(time.Duration(rng.IntN(400))*time.Millisecond, func() {
			if err := writer.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Error(err)
			}
		})
		for lines.Scan() {
			number, found := strings.CutPrefix(lines.Text(), "reached ")
			if n, err := strconv.ParseUint(number, 10, 64); found && err == nil {
				reached = n
			} else if found || strings.HasPrefix(lines.Text(), "error") {
				problem = lines.Text()
			}
		}
		err = writer.Wait()
		stop.Stop()
		if problem != "" {
			t.Fatalf("cycle %d: the writer says: %s (%v)", cycle, problem, err)
		}
		s, p := mustOpen(t, dir, testOptions())
		_, number, err := p.Header()
		if err != nil || number < reached || number < want.number || number > max(reached, want.number)+1 {
			t.Fatalf("cycle %d: at checkpoint %d (%v), the writer had reached %d, before it %d", cycle, number, err, reached, want.number)
		}
		want.scriptedTo(number)
		want.check(t, p)
		checkNothingLeft(t, s)
		mustClose(t, s)
	}
	t.Logf("%d checkpoints in %d lives", want.number, cycles)
	if want.number == 0 {
		t.Error("no writer lived long enough to commit")
	}
}

// huge is a commit of 20 times what a transaction takes.
func huge() *Commit {
	rng := rand.New(rand.NewPCG(5, 5))
	c := &Commit{Header: []byte("huge"), Puts: map[uint8][]Entry{}, Appends: map[uint8][][]byte{}}
	bytes := int(txnMaxBytes(testOptions())) * 20
	for i := 0; bytes > 0; i++ {
		value := randomBytes(rng, 2_000)
		c.Puts[uint8(i%modelTables)] = append(c.Puts[uint8(i%modelTables)], Entry{Key: fmt.Appendf(nil, "key %04d", i), Value: value})
		c.Appends[uint8(i%modelLogs)] = append(c.Appends[uint8(i%modelLogs)], value[:1_000])
		bytes -= 3_000
	}
	// A few large ones in the journal, and all that was there goes: of its runs
	// one has more segments than a commit deletes.
	for range 3 {
		c.Appends[modelJournal] = append(c.Appends[modelJournal], randomBytes(rng, 200_000))
	}
	c.Trim = map[uint8]uint64{modelJournal: 1 << 40, 0: 30}
	return c
}

// stepActs are the acts that the step tests interrupt. Each takes a store as
// prepareStep left it.
var stepActs = map[string]func(*Store, *Partition) error{
	"commit": func(_ *Store, p *Partition) error { return p.Commit(huge()) },
	"trim": func(s *Store, p *Partition) error {
		if err := p.Commit(trimAll()); err != nil {
			return err
		}
		if found, err := s.folder.reapOne(); err != nil || !found {
			return fmt.Errorf("a doomed run was found: %t, %w", found, err)
		}
		return nil
	},
	"fold": func(s *Store, _ *Partition) error {
		if !s.folder.once() {
			return errors.New("nothing was folded")
		}
		return nil
	},
}

// trimAll is a commit that drops every entry of every log.
func trimAll() *Commit {
	return &Commit{
		Header:  []byte("trimmed"),
		Trim:    map[uint8]uint64{0: 1 << 40, 1: 1 << 40, modelJournal: 1 << 40},
		Appends: map[uint8][][]byte{modelJournal: {[]byte("what is left")}},
	}
}

// preparedScripted is the number of scripted commits in prepareStep.
const preparedScripted = 14

// prepareStep makes a directory with scripted commits and a huge one.
func prepareStep(t *testing.T, dir string) {
	t.Helper()
	s, p := mustOpen(t, dir, testOptions())
	want := newModel()
	want.scriptedTo(preparedScripted)
	for n := range want.number {
		mustCommit(t, p, scripted(n+1))
	}
	mustCommit(t, p, huge())
	mustClose(t, s)
}

// childStep performs an act and kills itself before or after the transaction
// with a given number.
func childStep(dir string) error {
	step, err := strconv.Atoi(os.Getenv("CHECKPOINT_STEP"))
	if err != nil {
		return err
	}
	s, err := Open(dir, testOptions())
	if err != nil {
		return err
	}
	p, err := s.Partition(3)
	if err != nil {
		return err
	}
	steps := 0
	s.commitTransaction = func(txn *badger.Txn) error {
		steps++
		if steps == step && os.Getenv("CHECKPOINT_WHEN") == "before" {
			return die()
		}
		err := txn.Commit()
		if steps == step && err == nil {
			return die()
		}
		return err
	}
	return stepActs[os.Getenv("CHECKPOINT_ACT")](s, p)
}

// die ends the process as kill -9 does.
func die() error {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	if err := self.Kill(); err != nil {
		return err
	}
	select {}
}

var everyStep = flag.Bool("everystep", false, "TestKillAtEachStep kills at each of the steps, and not at a fourth of them and around the one that decides")

// TestKillAtEachStep kills a process between the transactions of a commit 20
// times as large as a transaction, and of a fold of what such a commit left.
// The next open finds exactly the old or the new checkpoint and sweeps the rest.
func TestKillAtEachStep(t *testing.T) {
	for act, do := range stepActs {
		t.Run(act, func(t *testing.T) {
			base := t.TempDir()
			prepareStep(t, base)
			steps, swap := countSteps(t, base, do)
			t.Logf("%d transactions, the %d. decides", steps, swap)
			if act == "commit" && steps < 20 {
				t.Fatalf("a commit 20 times the limit in %d transactions", steps)
			}
			stride := 4 // those in between are as those beside them
			switch {
			case *everyStep:
				stride = 1
			case testing.Short():
				stride = 8
			}
			for step := 1; step <= steps; step++ {
				if near := step >= swap-1 && step <= swap+1; (steps-step)%stride != 0 && step > 1 && !near {
					continue
				}
				whens := []string{"before"}
				if step == swap || step == steps { // elsewhere it is before the next one
					whens = append(whens, "after")
				}
				for _, when := range whens {
					dir := t.TempDir()
					if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
						t.Fatal(err)
					}
					out, err := child("step", dir, "CHECKPOINT_ACT="+act, "CHECKPOINT_WHEN="+when, fmt.Sprint("CHECKPOINT_STEP=", step)).Output()
					if err == nil || len(out) > 0 || !strings.Contains(err.Error(), "killed") {
						t.Fatalf("%s step %d: %v %s", when, step, err, out)
					}
					isNew := step > swap || step == swap && when == "after"
					var done *Commit
					switch {
					case isNew && act == "commit":
						done = huge()
					case isNew && act == "trim":
						done = trimAll()
					}
					checkAfterStep(t, dir, done)
					if err := os.RemoveAll(dir); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// countSteps performs the act on a copy of a directory: how many transactions it
// takes, and in which the record changes.
func countSteps(t *testing.T, base string, do func(*Store, *Partition) error) (steps, swap int) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
		t.Fatal(err)
	}
	s, p := mustOpen(t, dir, testOptions())
	recordOf := func() string {
		var value []byte
		err := s.visit([]byte{prefixRecord}, true, func(_, v []byte) error {
			value = append(value, v...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(value)
	}
	before := recordOf()
	s.commitTransaction = func(txn *badger.Txn) error {
		steps++
		err := txn.Commit()
		if swap == 0 && recordOf() != before {
			swap = steps
		}
		return err
	}
	if err := do(s, p); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	return steps, swap
}

// checkAfterStep opens what a killed process left: the state as it was prepared,
// or after one more commit.
func checkAfterStep(t *testing.T, dir string, done *Commit) {
	t.Helper()
	s, p := mustOpen(t, dir, testOptions())
	defer mustClose(t, s)
	_, number, err := p.Header()
	if err != nil {
		t.Fatal(err)
	}
	want := newModel()
	want.scriptedTo(preparedScripted)
	want.apply(huge())
	if done != nil {
		want.apply(done)
	}
	if number != want.number {
		t.Fatalf("at checkpoint %d, want %d", number, want.number)
	}
	want.check(t, p)
	checkNothingLeft(t, s)
	foldAll(t, s)
	want.check(t, p)
}

// TestSweepIsInterrupted lets each transaction of a sweep fail; the next open
// goes on with it.
func TestSweepIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	prepareStep(t, dir)
	if _, err := child("step", dir, "CHECKPOINT_ACT=commit", "CHECKPOINT_WHEN=after", "CHECKPOINT_STEP=15").Output(); err == nil {
		t.Fatal("the child was not killed")
	}
	d, err := openDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions()
	o.Logger = slog.New(slog.DiscardHandler)
	db, err := openBadger(d.badgerPath(), o, newTroubles())
	if err != nil {
		t.Fatal(err)
	}
	failure := errors.New("injected")
	calls := 0
	s := &Store{dir: d, db: db, options: o, log: o.Logger, disputed: map[uint16]*CorruptError{}, troubles: newTroubles()}
	if s.values, err = openValues(d.valuesPath(), o); err != nil {
		t.Fatal(err)
	}
	s.limits()
	s.txnWrites = 10
	s.commitTransaction = func(txn *badger.Txn) error {
		if calls++; calls == 2 {
			return failure
		}
		return txn.Commit()
	}
	if err := s.sweep(); !errors.Is(err, failure) {
		t.Fatalf("got %v", err)
	}
	if err := errors.Join(db.Close(), s.values.close(), d.close()); err != nil {
		t.Fatal(err)
	}
	checkAfterStep(t, dir, nil)
}

// childReader opens a directory, reads everything and prints what it found.
func childReader(dir string) error {
	s, err := Open(dir, testOptions())
	if err != nil {
		return err
	}
	p, err := s.Partition(3)
	if err != nil {
		return err
	}
	if err := p.Verify(context.Background()); err != nil {
		return err
	}
	m, err := read(p)
	if err != nil {
		return err
	}
	fmt.Printf("checkpoint %d %x\n", m.number, m.sum())
	return nil
}

// TestFlippedBits flips one bit at a time in the files that a killed writer
// left. Whatever Badger makes of it, the outcome is an error, a crash, or
// exactly some checkpoint that was committed: never a mixture.
func TestFlippedBits(t *testing.T) {
	flips := 40
	if testing.Short() {
		flips = 5
	}
	base := t.TempDir()
	last := killedWriter(t, base, 40)
	sums := map[string]bool{}
	for want := newModel(); want.number <= last+1; want.scriptedTo(want.number + 1) {
		sums[fmt.Sprintf("checkpoint %d %x", want.number, want.sum())] = true
	}
	rng := rand.New(rand.NewPCG(3, 3))
	outcomes := map[string]int{}
	for flip := range flips {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
			t.Fatal(err)
		}
		where := flipBit(t, filepath.Join(dir, badgerName), rng)
		reader := child("reader", dir)
		reader.Stderr = io.Discard
		out, err := reader.Output()
		said := strings.TrimSpace(string(out))
		switch {
		case err == nil && sums[said]:
			outcomes["a checkpoint"]++
		case err == nil:
			t.Fatalf("flip %d in %s: the state is no checkpoint: %s", flip, where, said)
		case strings.HasPrefix(said, "error"):
			outcomes["an error"]++
			if !strings.Contains(said, "damaged") && !strings.Contains(said, "checkpoint: open") {
				t.Errorf("flip %d in %s: the error does not say that it is damage: %s", flip, where, said)
			}
		default:
			outcomes["a crash"]++
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d flips: %v", flips, outcomes)
}

// killedWriter lets a writer reach a checkpoint and kills it.
func killedWriter(t *testing.T, dir string, number uint64) uint64 {
	t.Helper()
	writer := child("writer", dir)
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	reached := uint64(0)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "reached %d", &reached); err != nil {
			t.Fatalf("the writer says: %s", lines.Text())
		}
		if reached == number {
			if err := writer.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := writer.Wait(); err == nil {
		t.Fatal("the writer was not killed")
	}
	return reached
}

// flipBit flips a bit that is in use: in the written part of one of the files.
func flipBit(t *testing.T, dir string, rng *rand.Rand) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for {
		name := files[rng.IntN(len(files))].Name()
		path := filepath.Join(dir, name)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		used := len(content)
		for used > 0 && content[used-1] == 0 {
			used--
		}
		if used == 0 {
			continue
		}
		at := rng.IntN(used)
		content[at] ^= 1 << rng.IntN(8)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("byte %d of %s", at, name)
	}
}
