package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// answers are all that the program says of usage: subtotals, invoices and counters, by
// what they are of.
type answers map[string]string

// ask gathers the answers of a program, or why it gives none.
func ask(ctx context.Context, c *rpc.Clients) (answers, error) {
	a := answers{}
	request := &tollwayv1.SubtotalServiceListRequest{PageSize: 1000}
	for {
		page, err := c.Subtotals.List(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, row := range page.GetSubtotals() {
			a["subtotal "+row.GetId()] = fmt.Sprintf("%s %s, %d events, final %t", row.GetAmount(), row.GetCurrency(), row.GetEvents(), row.GetFinal())
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	documents := map[string][]byte{}
	stream, err := c.Invoices.Export(ctx, &tollwayv1.InvoiceServiceExportRequest{Partial: true, AsDocuments: true})
	if err == nil {
		err = collect(stream, documents)
	}
	if err != nil {
		return nil, err
	}
	for id, d := range documents {
		a["invoice "+id] = string(d)
	}
	letters, err := c.DeadLetters.List(ctx, &tollwayv1.DeadLetterServiceListRequest{PageSize: 1})
	if err != nil {
		return nil, err
	}
	n := letters.GetCounts()
	a["counters"] = fmt.Sprint(n.GetRead(), n.GetPriced(), n.GetDuplicates(), n.GetDeadLettered())
	return a, nil
}

// flips flips one bit of what the program has stored, while it is stopped, and starts
// it. What it answers from then on must be what it answered before.
func flips(ctx context.Context, r *run, o *Outcome) (err error) {
	s, err := r.plan("flips").open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	f, err := r.feed(ctx, s, r.world(max(1000, r.Events/50)), func(context.Context, *site, *Feeder) error { return nil })
	if err != nil {
		return err
	}
	o.Events = f.world.Events
	if err := s.settle(ctx); err != nil {
		return err
	}
	want, err := ask(ctx, s.program.Clients())
	if err != nil {
		return err
	}
	// One image is of a program that was killed, one of a program that was stopped.
	images := [2]string{filepath.Join(s.dir, "killed"), filepath.Join(s.dir, "stopped")}
	s.program.Kill()
	if err := copyTree(s.data, images[0]); err != nil {
		return err
	}
	if _, err := s.program.Start(ctx); err != nil {
		return err
	}
	s.program.Stop()
	if err := copyTree(s.data, images[1]); err != nil {
		return err
	}
	kinds, choose := map[string]int{}, chance(r.Seed, forFaults)
	for n := range r.Flips {
		image := images[n%2]
		file, at, err := anyByte(choose, image)
		if err != nil {
			return err
		}
		kinds[kindOf(file)]++
		bit := choose.IntN(8)
		if err := r.flip(ctx, o, s, flipped{image, file, at, bit}, want); err != nil {
			return fmt.Errorf("bit %d of byte %d of %s: %w", bit, at, file, err)
		}
		if (n+1)%50 == 0 {
			r.logf("bit flips: %d of %d", n+1, r.Flips)
		}
	}
	o.note("bits flipped, by kind of file: %v", kinds)
	return r.afterFlips(ctx, o, s, f, images[1])
}

// afterFlips closes the months on an image that is whole, and compares with the oracle:
// what all was held against was right.
func (r *run) afterFlips(ctx context.Context, o *Outcome, s *site, f *Feeder, image string) error {
	if err := errors.Join(os.RemoveAll(s.data), copyTree(image, s.data)); err != nil {
		return err
	}
	if _, err := s.program.Start(ctx); err != nil {
		return err
	}
	_, err := r.judge(ctx, o, s, f)
	return err
}

// flipped is a bit.
type flipped struct {
	image, file string
	at          int64
	bit         int
}

// flip makes the damage and watches what the program answers until it is well.
func (r *run) flip(ctx context.Context, o *Outcome, s *site, damage flipped, want answers) error {
	if err := errors.Join(os.RemoveAll(s.data), copyTree(damage.image, s.data)); err != nil {
		return err
	}
	if err := flipBit(filepath.Join(s.data, damage.file), damage.at, damage.bit); err != nil {
		return err
	}
	begun := time.Now()
	if err := s.program.Begin(); err != nil {
		return err
	}
	defer s.program.Kill()
	o.Runs++
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	for ctx.Err() == nil {
		if !s.program.Running() {
			// Damage that nobody can mend may be refused, never passed over.
			o.note("the program refused to start: byte %d of %s: %s", damage.at, damage.file, s.program.lastWords())
			return nil
		}
		clients := s.program.Clients()
		if clients == nil {
			pause(ctx, 2*time.Millisecond)
			continue
		}
		got, err := ask(ctx, clients)
		if err == nil && !maps.Equal(got, want) {
			o.Wrong++
			o.Problems = append(o.Problems, fmt.Sprintf("bit %d of byte %d of %s of the image %s: %s", damage.bit, damage.at, damage.file, filepath.Base(damage.image), difference(want, got)))
			return nil
		}
		if err == nil {
			o.Recovery = append(o.Recovery, time.Since(begun))
			return nil
		}
		pause(ctx, 10*time.Millisecond)
	}
	return fmt.Errorf("it does not recover: %w", ctx.Err())
}

// difference tells one difference between two sets of answers.
func difference(want, got answers) string {
	for _, id := range ids(want) {
		if got[id] != want[id] {
			return fmt.Sprintf("%s is %.200s, was %.200s", id, got[id], want[id])
		}
	}
	for _, id := range ids(got) {
		if _, ok := want[id]; !ok {
			return fmt.Sprintf("%s is new", id)
		}
	}
	return "nothing"
}

// copyTree copies a folder. Holes stay holes: most of what a store has is that.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(name, from))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return errors.Join(os.WriteFile(target, b[:used(b)], 0o600), os.Truncate(target, int64(len(b))))
	})
}

// used is how much of a file is before the zeros of its end.
func used(b []byte) int {
	n := len(b)
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return n
}

// stores reports whether a file of the state holds what is billed from: the rest are
// marks of the format and of the store.
func stores(name string) bool {
	return slices.Contains([]string{".mem", ".sst", ".values"}, filepath.Ext(name))
}

// anyByte chooses a byte of a folder's state: every second time of a file that stores
// usage, then each file as often as the next, and in it among the bytes that are not
// the zeros of its end.
func anyByte(choose *rand.Rand, dir string) (file string, at int64, err error) {
	type candidate struct {
		name string
		used int64
	}
	var files []candidate
	only := choose.IntN(2) == 0
	err = filepath.WalkDir(filepath.Join(dir, "state"), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if only && !stores(name) {
			return nil
		}
		b, err := os.ReadFile(name)
		if n := used(b); n > 0 {
			files = append(files, candidate{strings.TrimPrefix(name, dir), int64(n)})
		}
		return err
	})
	if err != nil {
		return "", 0, err
	}
	if len(files) == 0 {
		return "", 0, errors.New("there is no state")
	}
	c := files[choose.IntN(len(files))]
	return c.name, choose.Int64N(c.used), nil
}

// kindOf is a file's ending, or its name where it has none.
func kindOf(file string) string {
	if ending := filepath.Ext(file); ending != "" {
		return ending
	}
	return filepath.Base(file)
}

// flipBit flips a bit of a file.
func flipBit(name string, at int64, bit int) (err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 1 << bit
	_, err = f.WriteAt(b[:], at)
	return err
}
