package query

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// UpdateKind tells the updates of a watch apart.
type UpdateKind int

// The kinds of updates, in the order in which a watch sees them first.
const (
	UpdateSnapshot  UpdateKind = iota // the subtotals that match, as they are
	UpdateChanged                     // those of them that have changed since
	UpdateHeartbeat                   // nothing has changed for a while
)

// Update is one message of a watch.
type Update struct {
	Kind UpdateKind
	Subtotals
	// More says that the snapshot, or what has changed since a resumed watch was
	// broken off, goes on in the next update.
	More bool
	// Resume continues the watch behind this update, see Watcher.Resume. It is empty
	// while More.
	Resume string
}

// Watcher follows the subtotals that match a filter. However slow its reader is, it
// costs the same: a place in the engine's journal of changes, and one answer. It
// belongs to one goroutine; Close it, once.
type Watcher struct {
	engine    *Engine
	filter    Filter
	heartbeat time.Duration
	interval  time.Duration
	pause     <-chan time.Time // until the next change may be shown; nil for none
	// The timers of the two: they are set again with each change, of which there are
	// thousands a second.
	beat, rest *time.Timer

	scan    bool     // the snapshot, or what was missed, is being read
	missed  []uint32 // generations whose changes were seen before; nil: all subtotals are read
	token   string   // of the scan's next page
	begun   []uint32 // generations that the scan will have seen all of
	reached []uint32 // generations of which all changes have been shown
	at      place    // in the journal, when all accounts are watched

	audience *audience   // of the one account; nil for all
	dirty    atomic.Bool // the one account has changed
	signal   chan struct{}
	shown    []Subtotal // of the one account's latest state, what was shown last
	seen     uint64     // the position of that
}

// Watch begins to follow the filter's subtotals. heartbeat is the longest time
// without an update. Of the latest state one account can be followed, not all.
func (e *Engine) Watch(f Filter, heartbeat time.Duration) *Watcher {
	w := &Watcher{engine: e, filter: f, heartbeat: heartbeat, scan: true, signal: make(chan struct{}, 1)}
	e.watching.Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	w.begun = e.generationsNow()
	w.at = place{entry: e.journal.end()}
	if f.Account == "" {
		e.everything[w] = struct{}{}
		return w
	}
	of := e.watchers[string(f.Account)]
	if of == nil {
		of = &audience{members: map[*Watcher]struct{}{}}
		e.watchers[string(f.Account)] = of
	}
	of.members[w] = struct{}{}
	of.several.Store(len(of.members) > 1)
	w.audience = of
	return w
}

// Resume has the watch begin with what has changed since an update of another one
// with the same filter, whose Resume this is. It reports whether it can; if not, the
// watch begins with a snapshot. It is called before Next, if at all.
func (w *Watcher) Resume(text string) bool {
	generations, ok := parseResume(w.engine.instance, len(w.engine.partitions), text)
	if !ok || w.filter.Latest {
		return false
	}
	w.missed = generations
	return true
}

// Rest sets how long the watch waits between two changes at least: those between are
// merged. It is called before Next, if at all.
func (w *Watcher) Rest(d time.Duration) { w.interval = d }

// Close ends the watch.
func (w *Watcher) Close() {
	e := w.engine
	e.watching.Add(-1)
	e.mu.Lock()
	defer e.mu.Unlock()
	if w.filter.Account == "" {
		delete(e.everything, w)
		if len(e.everything) == 0 {
			e.journal.clear()
		}
		return
	}
	delete(w.audience.members, w)
	w.audience.several.Store(len(w.audience.members) > 1)
	if len(w.audience.members) == 0 {
		delete(e.watchers, string(w.filter.Account))
	}
}

// wake has the watch look for changes. It never blocks.
func (w *Watcher) wake() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// Next returns the next update: first the snapshot or what was missed, page by page,
// then what changes. It returns ctx's error when ctx ends.
func (w *Watcher) Next(ctx context.Context) (Update, error) {
	if w.scan {
		return w.scanned(ctx)
	}
	w.beat = again(w.beat, w.heartbeat)
	defer w.beat.Stop()
	latest := w.followLatest()
	defer latest.stop()
	for {
		signal := w.signal
		if w.pause != nil {
			signal = nil // changes wait
		}
		select {
		case <-w.pause:
			w.pause = nil
		case <-latest.moved():
			latest.stop()
			w.takeRest(max(w.interval, latestRest))
			w.dirty.Store(true)
			w.wake()
		case <-signal:
			u, some, err := w.take()
			if err != nil || some {
				return u, err
			}
			if w.scan { // it was too slow for the journal
				return w.scanned(ctx)
			}
		case <-w.beat.C:
			return w.update(UpdateHeartbeat, Subtotals{AsOf: w.engine.asOfView(w.filter.view())}), nil
		case <-ctx.Done():
			return Update{}, ctx.Err()
		}
	}
}

// takeRest has the next change wait.
func (w *Watcher) takeRest(d time.Duration) {
	w.rest = again(w.rest, d)
	w.pause = w.rest.C
}

// again sets a timer, which it makes the first time.
func again(t *time.Timer, d time.Duration) *time.Timer {
	if t == nil {
		return time.NewTimer(d)
	}
	t.Reset(d)
	return t
}

// update makes an update behind which the watch can be resumed.
func (w *Watcher) update(kind UpdateKind, s Subtotals) Update {
	u := Update{Kind: kind, Subtotals: s}
	if !w.filter.Latest {
		u.Resume = resumeText(w.engine.instance, w.reached)
	}
	return u
}

// scanned returns the next page of the scan.
func (w *Watcher) scanned(ctx context.Context) (Update, error) {
	kind := UpdateSnapshot
	page, err := Subtotals{}, error(nil)
	if w.missed == nil {
		page, err = w.engine.List(w.filter, Page{Size: MaxPageSize, Token: w.token})
	} else {
		kind = UpdateChanged
		page, err = w.engine.listMissed(ctx, w.filter, w.token, w.missed)
	}
	if err != nil {
		return Update{}, err
	}
	if w.token = page.NextToken; w.token != "" {
		return Update{Kind: kind, Subtotals: page, More: true}, nil
	}
	w.scan, w.reached = false, w.begun
	if w.filter.Latest {
		w.shown = page.Subtotals
	}
	if kind == UpdateChanged && len(page.Subtotals) == 0 {
		kind = UpdateHeartbeat
	}
	return w.update(kind, page), nil
}

// watchShare is the time that a change costs a watch, its part in the processors with all
// that are open: so long a watch rests behind a change for each of them. However many
// there are, and however often what they watch changes, they are told of 20,000 changes a
// second together, and leave the processors to others.
const watchShare = 50 * time.Microsecond

// watchAccountsMax is how many accounts one update of a watch shows.
const watchAccountsMax = 500

// take reads what has changed; some is false when it is nothing that the filter
// selects.
func (w *Watcher) take() (u Update, some bool, err error) {
	if rest := max(w.interval, time.Duration(w.engine.watching.Load())*watchShare); rest > 0 && w.pause == nil {
		w.takeRest(rest)
	}
	if w.filter.Account != "" {
		return w.takeAccount()
	}
	e := w.engine
	generations := slices.Clone(w.reached)
	e.mu.Lock()
	accounts, at, ok := e.journal.take(w.at, watchAccountsMax, generations)
	if !ok {
		// What has been shown is known by generation: the rest is read from the state.
		w.scan, w.token, w.missed = true, "", w.reached
		w.begun, w.at = e.generationsNow(), place{entry: e.journal.end()}
		e.mu.Unlock()
		return Update{}, false, nil
	}
	more := at.entry < e.journal.end()
	e.mu.Unlock()
	if more {
		w.wake()
	}
	s := Subtotals{AsOf: e.AsOf()}
	slices.Sort(accounts)
	for _, a := range accounts {
		f := w.filter
		f.Account = billing.AccountID(a)
		page, err := e.account(f, w.reached)
		if err != nil {
			return Update{}, false, err
		}
		s.Subtotals = append(s.Subtotals, page.Subtotals...)
	}
	w.at, w.reached = at, generations
	return w.update(UpdateChanged, s), len(s.Subtotals) > 0, nil
}

// takeAccount does the same for one account.
func (w *Watcher) takeAccount() (u Update, some bool, err error) {
	if !w.dirty.Swap(false) {
		return Update{}, false, nil
	}
	if w.filter.Latest {
		return w.takeLatest()
	}
	generations := w.engine.generationsNow()
	page, err := w.audience.changes(w.engine, w.filter, w.reached)
	if err != nil {
		return Update{}, false, err
	}
	w.reached = generations
	return w.update(UpdateChanged, page), len(page.Subtotals) > 0, nil
}

// takeLatest does the same in the latest state, which has no generations that a
// checkpoint ends: what was shown says what has changed.
func (w *Watcher) takeLatest() (u Update, some bool, err error) {
	page, err := w.engine.Account(w.filter)
	if err != nil {
		return Update{}, false, err
	}
	before := w.shown
	w.shown, w.seen = page.Subtotals, page.AsOf.Positions[0].Sequence
	page.Subtotals = nil
	for i, s := range w.shown {
		// They are in order: what stands behind a new one is sent once more.
		if i >= len(before) || !sameSubtotal(before[i], s) {
			page.Subtotals = append(page.Subtotals, s)
		}
	}
	return w.update(UpdateChanged, page), len(page.Subtotals) > 0, nil
}

// sameSubtotal reports whether a subtotal has not changed.
func sameSubtotal(a, b Subtotal) bool {
	return a.Tariff == b.Tariff && a.Subscription == b.Subscription && a.Version.Equal(b.Version) && a.Period.Start.Equal(b.Period.Start) &&
		slices.Equal(a.Group, b.Group) && a.Events == b.Events && a.Final == b.Final && a.Amount == b.Amount && slices.Equal(a.Lines, b.Lines)
}

// latestRest is the shortest time between two looks at the latest state: it moves on
// with each batch of events, of whatever account.
const latestRest = 20 * time.Millisecond

// latestFollower waits for the latest state of an account's partition to move on; of the
// committed state it waits for nothing.
type latestFollower struct {
	w    *Watcher
	wait *wait // nil while none is on its way
}

func (w *Watcher) followLatest() *latestFollower {
	if w.filter.Latest {
		w.dirty.Store(true) // what has come while nobody waited
		w.wake()
	}
	return &latestFollower{w: w}
}

func (l *latestFollower) stop() {
	if l.wait != nil {
		l.wait.end()
		l.wait = nil
	}
}

// moved returns what is closed when the latest state has moved on from what was seen;
// nil while the watch rests.
func (l *latestFollower) moved() <-chan struct{} {
	if !l.w.filter.Latest || l.w.pause != nil {
		return nil
	}
	if l.wait == nil {
		e := l.w.engine
		l.wait = e.await(billing.Partition(l.w.filter.Account, len(e.partitions)), accumulate.Latest, l.w.seen+1)
	}
	return l.wait.reached
}

// listMissed returns a page of the subtotals of accounts that have changed since
// generations.
func (e *Engine) listMissed(ctx context.Context, f Filter, token string, since []uint32) (Subtotals, error) {
	after, cut, err := decodeToken(token)
	if err != nil {
		return Subtotals{}, err
	}
	out := Subtotals{AsOf: e.AsOf()}
	if slices.Equal(since, e.generationsNow()) {
		return out, nil
	}
	n := 0
	for account := range e.accountsFrom(f, after) {
		if n++; n%listMissedCheck == 0 && ctx.Err() != nil {
			return Subtotals{}, ctx.Err()
		}
		p := billing.Partition(billing.AccountID(account), len(e.partitions))
		if account == after.Account || !e.partitions[p].State.ChangedSince(account, since[p]) {
			continue
		}
		of := f
		of.Account = billing.AccountID(account)
		page, err := e.Account(of)
		if err != nil {
			return Subtotals{}, err
		}
		out.Subtotals = append(out.Subtotals, page.Subtotals...)
		if f.Account != "" {
			out.Totals = page.Totals
		}
		if len(out.Subtotals) >= MaxPageSize {
			if out.NextToken, err = encodeToken(rate.Key{Account: account}, cut); err != nil {
				return Subtotals{}, err
			}
			return out, nil
		}
	}
	return out, nil
}

// listMissedCheck is after how many accounts a scan looks whether anybody waits for
// it still.
const listMissedCheck = 1_000
