package host

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/identity"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// resettable is a store whose partitions can be begun anew after damage. A store
// that is not stops at damage.
type resettable interface {
	Reset(p int) (PartitionStore, error)
}

// pinnable is a partition whose newest checkpoint can be read in full while it
// goes on.
type pinnable interface {
	Pinned(fn func(v *checkpoint.View) error) error
}

// anchored is a log that keeps anchors for those who come after.
type anchored interface {
	LastAnchor(ctx context.Context, partition int) (epoch uint64, anchor stream.Anchor, err error)
}

// Conditions of a partition.
const (
	ConditionServing    = "serving"    // its answers are those of its newest checkpoint
	ConditionRebuilding = "rebuilding" // its state is made again from a snapshot, the log or both; it answers nothing
	ConditionParked     = "parked"     // as above, and somebody has to act
)

// PartitionHealth says how a partition is.
type PartitionHealth struct {
	Partition  int
	Condition  string    // one of the Condition constants
	Reason     string    // why it does not serve
	Since      time.Time // it is in this condition
	Position   uint64    // of the last durable checkpoint
	Target     uint64    // position from which on it serves again; 0 while it serves
	Checkpoint uint64    // number of the last durable checkpoint
	Digest     string    // of its state, see accumulate.Header.StateDigest
	Anchored   uint64    // position of the last anchor in the ledger, 0 for none yet
	Rebuilds   int       // since the host was opened
	Scrub      ScrubStatus
}

// ScrubStatus says how far the reading of stored state has come.
type ScrubStatus struct {
	Verified  time.Time // when the last complete pass ended; zero for none since the host was opened
	Position  uint64    // of the checkpoint that it read
	BytesDone uint64    // of the pass under way
	BytesAll  uint64    // 0 while there is none under way
}

// health is the condition of a partition. It is safe for concurrent use.
type health struct {
	mu        sync.Mutex
	condition string // "" is serving
	reason    string
	since     time.Time
	target    uint64
	rebuilds  int
	anchored  uint64
	scrub     ScrubStatus
	verified  chan struct{} // closed once a state was read in full, or was empty
	isChecked bool

	// expect is an anchor that the state has yet to come to: whatever is rebuilt
	// must be what stood there.
	expect stream.Anchor

	damage chan error // holds one: found by a reader beside the partition's goroutines
}

func newHealth(now time.Time) *health {
	return &health{since: now, verified: make(chan struct{}), damage: make(chan error, 1)}
}

func (h *health) set(condition, reason string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.condition, h.reason, h.since = condition, reason, now
}

// why returns why the partition does not serve.
func (h *health) why() (condition, reason string, target uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.condition, h.reason, h.target
}

// serves reports whether the partition's state may be shown and acted on.
func (h *health) serves() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.condition == ""
}

// until holds the partition back from serving before a position.
func (h *health) until(target uint64, expect stream.Anchor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.target, h.expect = target, expect
}

// expected returns the anchor that the state has yet to come to; its position is
// 0 when there is none.
func (h *health) expected() stream.Anchor {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.expect
}

// anchoredAt notes the position of the last anchor.
func (h *health) anchoredAt(position uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.anchored = position
}

// met forgets the anchor that was expected.
func (h *health) met() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expect = stream.Anchor{}
}

// checked says that what is stored was read in full and found right.
func (h *health) checked() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.isChecked {
		h.isChecked = true
		close(h.verified)
	}
}

// unchecked takes that back: another state comes.
func (h *health) unchecked() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isChecked {
		h.isChecked = false
		h.verified = make(chan struct{})
	}
	h.scrub = ScrubStatus{}
}

// wasChecked returns a channel that is closed once checked was called.
func (h *health) wasChecked() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.verified
}

// condemn hands in damage that was found beside the partition's own work.
func (h *health) condemn(err error) {
	select {
	case h.damage <- err:
	default: // it is condemned already
	}
}

// isDamage reports whether an error says that stored state is not what was
// written, so that it can be made again. What says that a write is uncertain, such
// as a failed sync, is no such error: it ends the process, and the next start
// looks at what is there.
func isDamage(err error) bool {
	if err == nil || errors.Is(err, checkpoint.ErrUncertain) || errors.Is(err, checkpoint.ErrClosed) {
		return false
	}
	var differs *DigestError
	return checkpoint.IsDamage(err) || errors.Is(err, identity.ErrCorrupt) || accumulate.IsMalformed(err) || errors.As(err, &differs)
}

// DigestError says that the state at a position is not the one that stood there
// before.
type DigestError struct {
	Partition  int
	Position   uint64
	Have, Want string
	Where      string // who says what it was: the ledger, or the checkpoint
}

// Error names both digests.
func (e *DigestError) Error() string {
	return fmt.Sprintf("host: partition %d: the state at position %d has digest %s, %s has %s", e.Partition, e.Position, e.Have, e.Where, e.Want)
}

// PartitionsHealth returns how each partition is.
func (h *Host) PartitionsHealth() []PartitionHealth {
	list := make([]PartitionHealth, 0, len(h.partitions))
	for _, p := range h.partitions {
		list = append(list, p.examine())
	}
	return list
}

func (p *partition) examine() PartitionHealth {
	header := p.state.Header()
	digest, err := header.StateDigest()
	if err != nil {
		digest = err.Error()
	}
	s := PartitionHealth{Partition: p.number, Position: header.Position, Digest: digest, Condition: ConditionServing}
	if _, number, err := p.store.Header(); err == nil {
		s.Checkpoint = number
	}
	h := p.health
	h.mu.Lock()
	defer h.mu.Unlock()
	s.Reason, s.Since, s.Rebuilds, s.Anchored, s.Scrub = h.reason, h.since, h.rebuilds, h.anchored, h.scrub
	if h.condition != "" {
		s.Condition, s.Target = h.condition, h.target
	}
	return s
}

// Servable returns nil when the partitions that an account is in, or all of them
// for the empty one, may be read, and else the fault that says why not.
func (h *Host) Servable(account string) error {
	for _, p := range h.partitions {
		if account != "" && p.number != billing.Partition(billing.AccountID(account), h.config.Partitions) {
			continue
		}
		if err := p.unservable(); err != nil {
			return err
		}
	}
	return nil
}

// unservable returns the fault that says why the partition may not be read, nil
// when it may.
func (p *partition) unservable() error {
	switch condition, reason, target := p.health.why(); condition {
	case ConditionRebuilding:
		return fault(ReasonUnavailable, "ask again a little later; tollway doctor shows how far it has come",
			"partition %d answers nothing until its state is made again: %s; it is at position %d of %d", p.number, reason, p.state.Header().Position, target)
	case ConditionParked:
		return fault(ReasonParked, "`tollway doctor` shows it; docs/recovery.md says what to do", "partition %d is parked: %s", p.number, reason)
	}
	return nil
}

// rebuildsMax is how often a partition is made again before its disk is held to
// be failing.
const rebuildsMax = 5

// beginAnew drops a damaged state, and everything in memory that was made from
// it. The next state comes from the log.
func (p *partition) beginAnew(cause error) error {
	p.health.mu.Lock()
	p.health.rebuilds++
	rebuilds := p.health.rebuilds
	p.health.mu.Unlock()
	p.health.unchecked()
	p.health.set(ConditionRebuilding, cause.Error(), p.host.config.Now())
	p.host.log.Error("the state of a partition is damaged: it answers nothing and is made again from the log",
		"partition", p.number, "damage", cause)
	if rebuilds > rebuildsMax {
		return fmt.Errorf("host: partition %d: damaged for the %dth time since the start: the disk is failing, replace it: %w", p.number, rebuilds, cause)
	}
	resetter, ok := p.host.store.(resettable)
	if !ok {
		return fmt.Errorf("host: partition %d: %w", p.number, cause)
	}
	failpoint.Hit("rebuild.before-reset")
	store, err := resetter.Reset(p.number)
	if err != nil {
		return fmt.Errorf("host: %w", err)
	}
	if p.seen != nil {
		if err := p.seen.Close(); err != nil {
			return err
		}
	}
	failpoint.Hit("rebuild.after-reset")
	p.state.Reset()
	p.last, p.positions = stream.Message{}, positions{}
	p.letters.reset()
	if p.host.invoices != nil {
		p.host.invoices.forget(p.number)
		p.host.alerts.forget(p.number)
	}
	if p.store == nil { // it could not be opened; later it is the same one, which others read
		p.store = store
	}
	p.committer, p.tally = newCommitter(p), accumulate.NewTally()
	p.seen, err = identity.Open(p.store, identityOptions(p.state.Now().Horizon))
	return err
}

// keep runs the partition, and makes it again when its stored state turns out to
// be damaged. The other partitions go on meanwhile.
func (p *partition) keep(ctx context.Context) error {
	err := p.complete(ctx)
	close(p.completed)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // ended before it began
	}
	for {
		if err == nil {
			err = p.run(ctx)
		}
		if ctx.Err() != nil || !isDamage(err) {
			return err
		}
		switch err = p.rebuild(ctx, err); {
		case err == nil:
		case ctx.Err() == nil:
			return fmt.Errorf("host: partition %d: %w", p.number, err)
		default:
			return nil // ended before it was done; the next start goes on
		}
	}
}

// rebuildRetry is how long a rebuild waits for NATS to be back.
const rebuildRetry = 2 * time.Second

// rebuild makes a partition ready to be run again.
func (p *partition) rebuild(ctx context.Context, cause error) error {
	var differs *DigestError
	if errors.As(cause, &differs) && p.seen != nil && p.health.expected().Position != 0 {
		return p.park(ctx, cause) // what was made again is not what was: the log, or this program, is another
	}
	if err := p.rater.Close(ctx); err != nil {
		return err
	}
	p.decoder, p.rater, p.catalog = ingest.NewDecoder(p.host.seed), rate.NewRater(p.host.registry), nil
	p.pending, p.sorted = pending{}, triage{}
	if err := p.beginAnew(cause); err != nil {
		return err
	}
	for {
		err := p.join(ctx)
		if err == nil || !errors.Is(err, stream.ErrUnavailable) {
			return err
		}
		p.host.log.Warn("the log cannot be asked: the rebuilding of a partition waits", "partition", p.number, "error", err)
		select {
		case <-time.After(rebuildRetry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// park lets the partition do nothing more, and the others go on.
func (p *partition) park(ctx context.Context, cause error) error {
	p.health.set(ConditionParked, cause.Error(), p.host.config.Now())
	p.host.log.Error("a partition is parked: it answers nothing and invoices nothing until somebody has looked at it; docs/recovery.md says what to do",
		"partition", p.number, "cause", cause)
	<-ctx.Done()
	return ctx.Err()
}

// compareAnchor brings the state together with what the ledger says of it. One
// that is older than its last anchor has lost checkpoints: they are made again,
// and compared when they are.
func (p *partition) compareAnchor(ctx context.Context) error {
	log, ok := p.host.conn.(anchored)
	if !ok {
		return nil
	}
	_, anchor, err := log.LastAnchor(ctx, p.number)
	if err != nil {
		return err
	}
	h := p.state.Header()
	p.health.anchoredAt(anchor.Position)
	first, last, err := p.host.conn.LastSequence(ctx, stream.Usage(p.number))
	if err != nil {
		return err
	}
	behind := anchor.Position > h.Position
	switch {
	case anchor.Position > last:
		return fmt.Errorf("the log has lost its tail: stream %s ends at %d, a checkpoint was made at %d; restore the stream", stream.Usage(p.number), last, anchor.Position)
	case !behind && p.health.serves():
		return p.sameAsAnchored(h, anchor)
	case h.Position+1 < first:
		return fmt.Errorf("the state has to be made again from position %d on, and stream %s begins at %d: restore a snapshot with `tollway restore`, or the stream",
			h.Position+1, stream.Usage(p.number), first)
	}
	if p.health.serves() {
		p.health.set(ConditionRebuilding, fmt.Sprintf("its newest checkpoint is at position %d, and one at %d had been made: what is missing is made again", h.Position, anchor.Position), p.host.config.Now())
		p.host.log.Error("the state of a partition is older than it has been: what it lacks is made again from the log",
			"partition", p.number, "position", h.Position, "anchored", anchor.Position)
	}
	if !behind {
		anchor = stream.Anchor{}
	}
	p.health.until(last, anchor)
	return p.caughtUp(h)
}

// sameAsAnchored compares the state with an anchor of the same position.
func (p *partition) sameAsAnchored(h accumulate.Header, anchor stream.Anchor) error {
	have, err := h.StateDigest()
	if err != nil || anchor.Position != h.Position || !accumulate.ComparableDigests(have, anchor.State) || have == anchor.State {
		return err
	}
	return &DigestError{Partition: p.number, Position: h.Position, Have: have, Want: anchor.State, Where: "its anchor in the ledger"}
}

// caughtUp lets a partition that was behind serve again once it has come to its
// target.
func (p *partition) caughtUp(h accumulate.Header) error {
	condition, _, target := p.health.why()
	if condition != ConditionRebuilding || h.Position < target || p.health.expected().Position != 0 {
		return nil
	}
	failpoint.Hit("rebuild.done")
	p.health.set("", "", p.host.config.Now())
	digest, err := h.StateDigest()
	if err != nil {
		return err
	}
	p.host.log.Warn("a partition was made again and serves", "partition", p.number, "position", h.Position, "digest", digest)
	return nil
}

// arrived compares a checkpoint that was just made with the anchor that the
// state had yet to come to, and lets the partition serve when it may.
func (p *partition) arrived(h accumulate.Header) error {
	if p.health.serves() {
		return nil
	}
	if expect := p.health.expected(); expect.Position == h.Position {
		if err := p.sameAsAnchored(h, expect); err != nil {
			return err
		}
		p.host.log.Info("the state that was made again is the one that was anchored", "partition", p.number, "position", h.Position)
		p.health.met()
	}
	return p.caughtUp(h)
}

// openDirectory opens the directory of the state. One that cannot be read as a
// whole, since it is damaged or of an earlier format, is set aside, and every
// partition made again.
func (c Config) openDirectory(dir string) (*checkpoint.Store, error) {
	s, err := checkpoint.Open(dir, c.stateOptions())
	var broken *checkpoint.BrokenError
	var version *checkpoint.VersionError
	if !errors.As(err, &broken) && (!errors.As(err, &version) || !version.Older) {
		return s, err
	}
	moved, asideErr := checkpoint.SetAside(dir)
	if asideErr != nil {
		return nil, errors.Join(err, asideErr)
	}
	c.Log.Error("the state cannot be opened: it is set aside, and made again from the log; remove what is set aside when nobody needs it",
		"cause", err, "set_aside", moved)
	return checkpoint.Open(dir, c.stateOptions())
}

// condemned returns the damage that somebody else finds in what the partition has
// stored.
func (p *partition) condemned(ctx context.Context) error {
	select {
	case err := <-p.health.damage:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// foldUpTo folds messages, and cuts a checkpoint where the state has to be
// compared with an anchor.
func (p *partition) foldUpTo(ctx context.Context, messages []stream.Message) error {
	at := 0
	if !p.health.serves() {
		if expect := p.health.expected().Position; expect > 0 {
			at = sort.Search(len(messages), func(i int) bool { return messages[i].Sequence > expect })
			if at > 0 && messages[at-1].Sequence == expect {
				if err := p.fold(ctx, messages[:at]); err != nil {
					return err
				}
				if err := p.committer.force(ctx); err != nil {
					return err
				}
			} else {
				at = 0
			}
		}
	}
	if at == len(messages) {
		return nil
	}
	return p.fold(ctx, messages[at:])
}

// addUp adds up what is stored of the partition, but for the logs and the identities,
// whose sums are taken from the header as long as the scrub has not read them, and
// compares it with the header. Where that has no sums, being of a release that kept
// none, they are read: the next checkpoint has all of them.
func (p *partition) addUp() (*accumulate.Tally, error) {
	b, _, err := p.store.Header()
	if err != nil || len(b) == 0 {
		return accumulate.NewTally(), err
	}
	h, err := accumulate.DecodeHeader(b)
	if err != nil {
		return nil, err
	}
	a := accumulate.NewAuditor(h)
	for _, table := range accumulate.Tables() {
		if err := p.store.Load(table, func(key, value []byte) error { return a.Table(table, key, value) }); err != nil {
			return nil, err
		}
	}
	if err := p.store.LogBackward(accumulate.LogSlots, func(_ uint64, entry []byte) error { return a.Journal(entry) }); err != nil {
		return nil, err
	}
	if h.Sums == nil {
		err = p.addUpLogs(a)
	}
	if err == nil && h.Stretches == nil {
		var sums identity.Sums
		sums, err = identity.SumStored(p.store, identityOptions(h.Horizon))
		a.Identities(sums)
	}
	if err != nil {
		return nil, err
	}
	tally, sums, err := a.End()
	if err != nil {
		return nil, err
	}
	return tally, compareSums(p.number, h, tally, sums)
}

// addUpLogs adds up the logs.
func (p *partition) addUpLogs(a *accumulate.Auditor) error {
	for _, log := range accumulate.SummedLogs() {
		err := p.store.LogRange(log, 1, 0, func(_ uint64, entry []byte) error {
			a.Log(log, entry)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// awaitChecked returns once what the partition has stored was read in full since
// the host was opened: before that nothing is closed.
func (p *partition) awaitChecked(ctx context.Context) error {
	select {
	case <-p.health.wasChecked():
		return nil
	case <-ctx.Done():
		return fault(ReasonUnavailable, "ask again when it is; tollway doctor shows how far it has come",
			"partition %d has not been read in full since the start, so that nothing of it is closed yet", p.number).because(ctx.Err())
	}
}

// isChecked reports whether the partition's state may make invoices.
func (p *partition) isChecked() bool {
	select {
	case <-p.health.wasChecked():
		return p.health.serves() && p.host.wholeAgain() == nil
	default:
		return false
	}
}

// wholeAgain returns the fault of a partition that is being rebuilt, nil when
// there is none: until all know their usage again, nobody knows with which period
// closing begins.
func (h *Host) wholeAgain() error {
	for _, p := range h.partitions {
		if condition, _, _ := p.health.why(); condition == ConditionRebuilding {
			return p.unservable()
		}
	}
	return nil
}
