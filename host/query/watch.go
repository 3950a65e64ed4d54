package query

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// UpdateKind tells the updates of a watch apart.
type UpdateKind int

// The kinds of updates, in the order in which a watch sees them first.
const (
	UpdateSnapshot  UpdateKind = iota // the subtotals that match, as they are
	UpdateChanged                     // those of them that a checkpoint has changed
	UpdateHeartbeat                   // nothing has changed for a while
)

// Update is one message of a watch.
type Update struct {
	Kind UpdateKind
	Subtotals
	// More says that the snapshot goes on in the next update.
	More bool
}

// Watcher follows the subtotals that match a filter. It costs one entry per
// account that has changed and was not read yet, however slow its reader is. It
// belongs to one goroutine; Close it.
type Watcher struct {
	engine    *Engine
	filter    Filter
	heartbeat time.Duration
	token     string // of the snapshot's next page
	snapshot  bool   // done

	mu     sync.Mutex
	dirty  map[string]struct{}
	signal chan struct{}
}

// Watch begins to follow the filter's subtotals. heartbeat is the longest time
// without an update.
func (e *Engine) Watch(f Filter, heartbeat time.Duration) *Watcher {
	w := &Watcher{engine: e, filter: f, heartbeat: heartbeat, dirty: map[string]struct{}{}, signal: make(chan struct{}, 1)}
	e.mu.Lock()
	e.watchers[w] = struct{}{}
	e.mu.Unlock()
	return w
}

// Close ends the watch.
func (w *Watcher) Close() {
	w.engine.mu.Lock()
	delete(w.engine.watchers, w)
	w.engine.mu.Unlock()
}

// changed notes accounts to look at. The engine's lock is held.
func (w *Watcher) changed(accounts map[string]struct{}) {
	w.mu.Lock()
	if w.filter.Account != "" {
		if _, ok := accounts[string(w.filter.Account)]; ok {
			w.dirty[string(w.filter.Account)] = struct{}{}
		}
	} else {
		for a := range accounts {
			w.dirty[a] = struct{}{}
		}
	}
	some := len(w.dirty) > 0
	w.mu.Unlock()
	if some {
		select {
		case w.signal <- struct{}{}:
		default:
		}
	}
}

// Next returns the next update: first the snapshot, page by page, then what
// changes. It returns ctx's error when ctx ends.
func (w *Watcher) Next(ctx context.Context) (Update, error) {
	if !w.snapshot {
		page, err := w.engine.List(w.filter, Page{Size: MaxPageSize, Token: w.token})
		if err != nil {
			return Update{}, err
		}
		w.token, w.snapshot = page.NextToken, page.NextToken == ""
		return Update{Kind: UpdateSnapshot, Subtotals: page, More: !w.snapshot}, nil
	}
	beat := time.NewTimer(w.heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-w.signal:
			u, err := w.take()
			if err != nil || len(u.Subtotals.Subtotals) > 0 {
				return u, err
			}
		case <-beat.C:
			return Update{Kind: UpdateHeartbeat, Subtotals: Subtotals{AsOf: w.engine.AsOf()}}, nil
		case <-ctx.Done():
			return Update{}, ctx.Err()
		}
	}
}

// watchAccountsMax is how many accounts one update of a watch shows.
const watchAccountsMax = 500

// take reads the accounts that have changed, the rest staying for the next
// update.
func (w *Watcher) take() (Update, error) {
	w.mu.Lock()
	accounts := make([]string, 0, min(len(w.dirty), watchAccountsMax))
	for a := range w.dirty {
		if len(accounts) == watchAccountsMax {
			break
		}
		accounts = append(accounts, a)
		delete(w.dirty, a)
	}
	if len(w.dirty) > 0 {
		select {
		case w.signal <- struct{}{}:
		default:
		}
	}
	w.mu.Unlock()
	slices.Sort(accounts)
	u := Update{Kind: UpdateChanged, Subtotals: Subtotals{AsOf: w.engine.AsOf()}}
	for _, a := range accounts {
		f := w.filter
		f.Account = billing.AccountID(a)
		page, err := w.engine.Account(f)
		if err != nil {
			return Update{}, err
		}
		u.Subtotals.Subtotals = append(u.Subtotals.Subtotals, page.Subtotals...)
		if w.filter.Account != "" {
			u.Totals, u.AsOf = page.Totals, page.AsOf
		}
	}
	return u, nil
}
