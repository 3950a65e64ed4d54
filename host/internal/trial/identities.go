package trial

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/identity"
	"github.com/tollway/tollway/host/ingest"
)

// What a set of identities is measured with.
const (
	identityLogRecent, identityLogPieces, identityLogFilters = 1, 2, 3

	identityCommit = 50_000    // events of a checkpoint
	identityWindow = 1_000_000 // events measured before each size, or fewer
	identityRepeat = 100       // one event in so many has an identity that is known
	identityUntil  = 1 << 60   // they expire long after
)

// growIdentities measures the set of identities of one partition alone, with its
// commits: the last million events before each size.
func (w *worker) growIdentities(ctx context.Context) (err error) {
	options := checkpoint.DefaultOptions()
	options.Journals = []uint8{identityLogRecent, identityLogPieces, identityLogFilters}
	store, err := checkpoint.Open(w.job.DataDir, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	partition, err := store.Partition(0)
	if err != nil {
		return err
	}
	set, err := identity.Open(partition, identity.Options{Recent: identityLogRecent, Pieces: identityLogPieces, Filters: identityLogFilters})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	g := &identities{set: set, partition: partition}
	for _, size := range w.job.Sizes {
		window := min(identityWindow, size-g.next)
		if err := g.to(ctx, size-window); err != nil {
			return err
		}
		m := w.begin()
		if err := g.to(ctx, size); err != nil {
			return err
		}
		f, err := m.end(uint64(window))
		if err != nil {
			return err
		}
		if f.StoreBytes, err = store.DiskBytes(); err != nil {
			return err
		}
		if err := w.say(answer{Kind: answerProgress, Read: uint64(size), Figures: f}); err != nil {
			return err
		}
	}
	return w.say(answer{Kind: answerDone})
}

// identities is a set that grows.
type identities struct {
	set       *identity.Set
	partition *checkpoint.Partition
	next      int // event
	uncut     int
}

// to adds events up to a number, with a commit after some.
func (g *identities) to(ctx context.Context, size int) error {
	for ; g.next < size; g.next++ {
		number, repeats := g.next, g.next%identityRepeat == identityRepeat-1
		if repeats {
			number = int(mix(uint64(g.next)) % uint64(g.next))
			if number%identityRepeat == identityRepeat-1 {
				number--
			}
		}
		id := hashOf(uint64(number))
		prior, err := g.set.Add(&id, &id, uint64(number), identityUntil)
		if err != nil {
			return err
		}
		if known := prior != nil; known != repeats {
			return fmt.Errorf("identity %d is known: %t, which is wrong", number, known)
		}
		if g.uncut++; g.uncut < identityCommit {
			continue
		}
		if err := g.commit(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// commit makes what was added durable.
func (g *identities) commit() error {
	g.uncut = 0
	batch := g.set.Cut()
	c := checkpoint.Commit{Room: true}
	batch.Put(&c)
	if err := g.partition.Commit(&c); err != nil {
		return err
	}
	g.set.Committed(batch)
	return nil
}

// hashOf makes a number into 128 bits that look random.
func hashOf(n uint64) (h ingest.Hash) {
	first := mix(n)
	binary.BigEndian.PutUint64(h[:], first)
	binary.BigEndian.PutUint64(h[8:], mix(first^n<<1))
	return h
}

// mix is the finalizer of MurmurHash3, which maps no two numbers onto one.
func mix(x uint64) uint64 {
	x++
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// growIdentitiesOnce runs the measurement of one round.
func (b *bed) growIdentitiesOnce(ctx context.Context, sizes []int, steps []GrowthStep) error {
	f := &field{bed: b}
	j := f.job(jobIdentities)
	j.Sizes = sizes
	p, err := b.Launch.start(ctx, j)
	if err != nil {
		return err
	}
	n := 0
	_, err = p.await(answerDone, func(a answer) error {
		b.progress("%s identities: %d ns of processor time an event, %s MiB", thousands(int64(sizes[n])), a.Figures.perEvent(int64(a.Figures.CPU)), mebibytes(a.Figures.RSS))
		steps[n].Rounds = append(steps[n].Rounds, a.Figures)
		n++
		return nil
	})
	return errors.Join(err, p.stop(), os.RemoveAll(j.DataDir))
}
