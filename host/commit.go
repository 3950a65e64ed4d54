package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/identity"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/internal/stage"
)

// When a checkpoint is cut. None of it changes a digit.
const (
	// cutInterval is the time between two moments at which checkpoints are cut, so that
	// many changes share one. They are the same for all partitions.
	cutInterval = 40 * time.Millisecond
	// behindAge is the age of usage from which on a partition is behind. Nobody
	// waits to see what it folds then, so its checkpoints are fewer and larger: each
	// costs something of itself.
	behindAge = time.Second
	// behindInterval is how long a change waits at most while a partition is behind.
	// It is cut before when nothing follows for a cutInterval.
	behindInterval = 400 * time.Millisecond
	// cutBytes are enough for a checkpoint without waiting.
	cutBytes = 2 << 20
	// holdBytes is what may fill while a checkpoint is being committed: beyond, the
	// partition waits for it. A generation takes about twice as much memory.
	holdBytes = 4 << 20
)

// committer has one checkpoint committed at a time while the partition goes on.
// Its fields are the working goroutine's; the channels are shared with run.
type committer struct {
	partition *partition
	cuts      chan *cut
	done      chan *cut
	due       *time.Timer // runs while something waits for its checkpoint
	waiting   bool        // the timer runs, or has run out
	since     time.Time   // when the first change came that waits
	late      bool        // the timer has run out
	flying    bool        // a checkpoint is being committed

	// run's:
	roundFrom uint64 // number of the journal entry with which the round of full records began
}

// cut is what one checkpoint holds.
type cut struct {
	state *accumulate.Generation
	seen  identity.Batch
	calm  bool // the partition keeps up
}

func newCommitter(p *partition) committer {
	due := time.NewTimer(0)
	due.Stop()
	return committer{
		partition: p, cuts: make(chan *cut), done: make(chan *cut, 1), due: due,
		roundFrom: p.store.LogLast(accumulate.LogSlots) + 1,
	}
}

// stop ends the timer.
func (c *committer) stop() { c.due.Stop() }

// changed notes that something waits for a checkpoint, the last of it from a
// message that the log took in at the time given.
func (c *committer) changed(logged time.Time) {
	now := c.partition.host.config.Now()
	first := !c.waiting
	if first {
		c.waiting, c.since = true, now
	}
	switch behind := now.Sub(logged) >= behindAge; {
	case behind && now.Sub(c.since) >= behindInterval:
		c.late = true
	case behind:
		c.due.Reset(cutInterval)
	case first:
		c.due.Reset(untilCut(now))
	}
}

// untilCut is the time to the next moment for a cut. The checkpoints of partitions that
// cut at one moment go to the disk together, and share what a sync costs.
func untilCut(now time.Time) time.Duration {
	return cutInterval - time.Duration(now.UnixNano())%cutInterval
}

// offer cuts a checkpoint when one is due and none is being committed. When too
// much waits it waits as well. A partition that has a turn passes it on and has
// the next one when offer returns: so what follows is not interrupted.
func (c *committer) offer(ctx context.Context) error {
	turn := &c.partition.turn
	if turn.has {
		if err := turn.pass(ctx); err != nil {
			return err
		}
	}
	if !c.waiting {
		return nil
	}
	bytes := c.partition.state.Filling().Bytes()
	if !c.late && bytes < cutBytes {
		return nil
	}
	now := c.partition.host.config.Now
	begun := now()
	if c.flying {
		select {
		case done := <-c.done:
			c.landed(done)
		default:
			if bytes < holdBytes {
				return nil
			}
			if err := c.land(ctx); err != nil {
				return err
			}
		}
	}
	stage.Checkpoint.Enter()
	cut, err := c.cut()
	if err != nil {
		return err
	}
	select {
	case c.cuts <- cut:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.partition.pace.stall.add(now().Sub(begun))
	return nil
}

// heard deals with what the committer has been told while the partition was at
// work, and reports whether there was anything. It comes before more messages: what
// happens next is not left to chance, so that a simulation can be repeated.
func (c *committer) heard() bool {
	select {
	case done := <-c.done:
		c.landed(done)
		return true
	default:
	}
	select {
	case <-c.due.C:
		c.late = true
		return true
	default:
		return false
	}
}

// force cuts a checkpoint of what the state is now, whether one is due or not.
func (c *committer) force(ctx context.Context) error {
	if !c.waiting {
		return nil // it was cut already
	}
	if c.flying {
		if err := c.land(ctx); err != nil {
			return err
		}
	}
	c.late = true
	return c.offer(ctx)
}

// land waits until the cut that is being committed is durable, and gives the
// partition's turn to others meanwhile.
func (c *committer) land(ctx context.Context) error {
	stage.Checkpoint.Enter()
	turn := &c.partition.turn
	had := turn.has
	turn.give()
	select {
	case done := <-c.done:
		c.landed(done)
	case <-ctx.Done():
		return ctx.Err()
	}
	if had {
		return turn.take(ctx)
	}
	return nil
}

// cut takes what has changed since the last one.
func (c *committer) cut() (*cut, error) {
	p := c.partition
	h := p.state.Now()
	h.Digest, h.Epoch = messageDigest(p.last), p.host.epoch
	if err := p.check(h); err != nil {
		return nil, err
	}
	failpoint.Hit("commit.before-cut")
	g, err := p.state.Cut()
	if err != nil {
		return nil, fmt.Errorf("host: partition %d: %w", p.number, err)
	}
	c.waiting, c.late, c.flying = false, false, true
	c.due.Stop()
	calm := p.host.config.Now().Sub(p.turn.logged) < calmAge+cutInterval
	return &cut{state: g, seen: p.seen.Cut(), calm: calm}, nil
}

// landed deals with a cut that is durable.
func (c *committer) landed(done *cut) {
	c.flying = false
	c.partition.seen.Committed(done.seen)
}

// run commits what is cut.
func (c *committer) run(ctx context.Context) error {
	stage.Checkpoint.Enter()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case cut := <-c.cuts:
			if err := c.write(ctx, cut); err != nil {
				return err
			}
			c.done <- cut // it has room for the one that there is
		}
	}
}

// write commits a cut, with the position that it reaches, atomically.
//
// A crash before it returns leaves the last checkpoint: the same messages are read
// again and, the log being all that decides, come to the same.
func (c *committer) write(ctx context.Context, cut *cut) error {
	p := c.partition
	begun := p.host.config.Now()
	commit := checkpoint.Commit{Puts: map[uint8][]checkpoint.Entry{}, Appends: map[uint8][][]byte{}, Room: true, Trim: map[uint8]uint64{}}
	if err := c.calmly(ctx, cut, func() error { return c.fill(&commit, cut) }); err != nil {
		return fmt.Errorf("host: partition %d: %w", p.number, err)
	}
	failpoint.Hit("commit.before-store")
	if err := c.store(ctx, &commit); err != nil {
		return fmt.Errorf("host: partition %d: checkpoint at position %d: %w", p.number, cut.state.Header.Position, err)
	}
	if cut.state.Wrapped() {
		c.roundFrom = p.store.LogLast(accumulate.LogSlots) + 1
	}
	failpoint.Hit("commit.after-store")
	// A crash here loses nothing: the checkpoint is durable, and a restart
	// shows it. So does a host that is stopping.
	if err := c.calmly(context.WithoutCancel(ctx), cut, func() error { return c.show(cut.state) }); err != nil {
		return err
	}
	// What goes outward (dead letters, invoices) is published from the
	// checkpoint's logs by the outbox, which finds its place by itself.
	failpoint.Hit("commit.shown")
	p.pace.commit.add(p.host.config.Now().Sub(begun))
	return nil
}

// calmly does a part of the work on a cut, of a partition that keeps up in a place for
// what is calm, if there is one.
func (c *committer) calmly(ctx context.Context, cut *cut, work func() error) error {
	turns, now := c.partition.turn.turns, c.partition.host.config.Now
	if cut.calm {
		calm, err := turns.enterCalm(ctx, calmAge)
		if err != nil {
			return err
		}
		if calm {
			defer turns.leaveCalm()
		}
	}
	begun := now()
	err := work()
	ended := now()
	turns.worked(ended, ended.Sub(begun))
	return err
}

// fill has a commit say what a cut holds.
func (c *committer) fill(commit *checkpoint.Commit, cut *cut) error {
	p, g := c.partition, cut.state
	failpoint.Hit("commit.before-sums")
	sums, err := p.tally.Take(g, cut.seen.Sums())
	if err != nil {
		return err
	}
	g.Header.Sums, g.Header.Stretches = &sums, p.tally.Stretches()
	if commit.Header, err = g.Header.Encode(); err != nil {
		return err
	}
	g.Tables(func(table uint8, key, value []byte) {
		commit.Puts[table] = append(commit.Puts[table], checkpoint.Entry{Key: key, Value: value})
	})
	for _, log := range []uint8{accumulate.LogDeadLetters, accumulate.LogInvoices, accumulate.LogAlerts, accumulate.LogSlots, accumulate.LogVerdicts, accumulate.LogIndex} {
		var entries [][]byte
		switch log { // the journals have room for the store's own
		case accumulate.LogSlots:
			entries = g.Journal()
		case accumulate.LogIndex:
			entries = withRoom(g.Appends(log))
		default:
			entries = g.Appends(log)
		}
		if len(entries) > 0 {
			commit.Appends[log] = entries
		}
	}
	if g.Wrapped() {
		commit.Trim[accumulate.LogSlots] = c.roundFrom
	}
	cut.seen.Put(commit)
	return nil
}

// show has those who ask see a checkpoint that is durable.
func (c *committer) show(g *accumulate.Generation) error {
	p := c.partition
	if err := p.loadLists(); err != nil {
		return err
	}
	p.state.Durable(g)
	if err := p.arrived(g.Header); err != nil {
		return err
	}
	p.host.committed(p, func(fn func(account string)) { p.state.AccountsOf(g, fn) })
	return nil
}

// Both are the same.
const _ = uint(accumulate.JournalRoom-checkpoint.RoomBytes) + uint(checkpoint.RoomBytes-accumulate.JournalRoom)

// withRoom returns copies of entries of a journal, with room before each.
func withRoom(entries [][]byte) [][]byte {
	roomy := make([][]byte, len(entries))
	for i, e := range entries {
		roomy[i] = append(make([]byte, checkpoint.RoomBytes, checkpoint.RoomBytes+len(e)), e...)
	}
	return roomy
}

// fullRetry is how often a partition looks whether a full disk has space again.
const fullRetry = 2 * time.Second

// store writes a checkpoint. While the disk is full it waits: the partition goes
// on until as much is uncommitted as it may hold, and then reads no further.
func (c *committer) store(ctx context.Context, commit *checkpoint.Commit) error {
	p := c.partition
	for waited := false; ; waited = true {
		err := p.store.Commit(commit)
		var full *checkpoint.DiskFullError
		if !errors.As(err, &full) {
			if waited && err == nil {
				p.host.log.Warn("the disk has space again: the partition goes on", "partition", p.number)
			}
			return err
		}
		if !waited {
			p.host.log.Error("the disk is full: the partition waits until there is space, nothing is lost", "partition", p.number, "error", full)
		}
		select {
		case <-time.After(fullRetry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
