package host

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// histories makes histories and forecasts. What a history needs is nowhere in the
// state, so usage costs nothing more for it: the account's events are read from the
// log again and folded beside the partition, one account at a time. The folds asked
// for last are kept and go on from where they are.
type histories struct {
	host  *Host
	turn  chan struct{} // has the turn of the one that reads
	mu    sync.Mutex    // guards folds
	folds []*historyFold
}

// Bounds of the folds.
const (
	historyFoldsMax      = 32               // kept
	historyIdentitiesMax = 4_000_000        // of events, over the folds that are kept; about 40 bytes each
	historyCallMax       = 20 * time.Second // how long one call reads the log
)

// Reasons of histories, stable.
const (
	ReasonHistoryNotReady = "history_not_ready"
	ReasonHistoryTooLarge = "history_too_large"
)

func newHistories(h *Host) *histories { return &histories{host: h, turn: make(chan struct{}, 1)} }

// pricing names what the sums of histories are kept apart by.
type pricing struct {
	tariff, meter string
	currency      billing.Currency
}

func (a pricing) compare(b pricing) int {
	return cmp.Or(cmp.Compare(a.tariff, b.tariff), cmp.Compare(a.meter, b.meter), cmp.Compare(a.currency, b.currency))
}

func pricingOf(p *rate.Plan) pricing { return pricing{p.Tariff, p.Meter, p.Currency} }

// whole is an account's subtotals of a period, as of a checkpoint.
type whole struct {
	account   string
	partition *partition
	header    accumulate.Header
	calendar  rate.Calendar
	period    billing.Period
	slots     []*rate.Slot // of the period
	sums      map[pricing]*wholeSum
	final     bool
	fixes     fixes // of the account's events, as far as they are known; nil: none are
}

// wholeSum is what the subtotals of one pricing come to.
type wholeSum struct {
	amount billing.Amount
	events uint64
	scale  int // finest; -1 when some amount keeps every digit
}

func (s *wholeSum) text(a billing.Amount) string {
	if s.scale < 0 {
		return a.String()
	}
	return a.Fixed(s.scale)
}

// wholeOf reads an account's subtotals; of no period when there are none that the
// filter selects.
func (h *Host) wholeOf(f query.Filter) (*whole, error) {
	p := h.partitions[billing.Partition(f.Account, h.config.Partitions)]
	slots, header := p.state.Slots(string(f.Account), accumulate.Committed)
	w := &whole{account: string(f.Account), partition: p, header: header, sums: map[pricing]*wholeSum{}, final: true}
	matching, err := f.Select(slots)
	if err != nil || len(matching) == 0 {
		return w, err
	}
	for _, s := range slots { // all of the period: what a filter leaves out takes part in the fold
		if s.Calendar == matching[0].Calendar && s.Period == matching[0].Period {
			w.slots = append(w.slots, s)
		}
	}
	for _, s := range matching {
		t, err := query.FromSlot(s)
		if err != nil {
			return nil, err
		}
		w.period, w.calendar, w.final = t.Period, s.Calendar, w.final && t.Final
		sum := w.sums[pricingOf(s.Plan)]
		if sum == nil {
			sum = &wholeSum{}
			w.sums[pricingOf(s.Plan)] = sum
		}
		if sum.amount, err = sum.amount.Add(t.Amount); err != nil {
			return nil, fault(ReasonHistoryTooLarge, "see its subtotals with: tollway subtotals get "+w.account,
				"the subtotals of account %q come to more than an amount can be", w.account).because(err)
		}
		sum.events += t.Events
		if s.Plan.Rounding.Mode == billing.RoundNone || sum.scale < 0 {
			sum.scale = -1
		} else {
			sum.scale = max(sum.scale, s.Plan.Rounding.Scale)
		}
	}
	return w, nil
}

// History tells how an account's subtotals of a period came to be.
func (h *Host) History(ctx context.Context, r query.HistoryRequest) (query.History, error) {
	r.Latest = false
	w, err := h.wholeOf(r.Filter)
	if err != nil {
		return query.History{}, err
	}
	out := query.History{Period: w.period, AsOf: h.queries.AsOfHeader(w.partition.number, w.header)}
	if len(w.slots) == 0 {
		return out, nil
	}
	out.Final = w.final
	err = h.histories.use(ctx, w, func(f *historyFold) error {
		for _, k := range slices.SortedFunc(maps.Keys(w.sums), pricing.compare) {
			series, err := f.series(k, w.sums[k], r.ByDay, w.period.Start.Location())
			if err != nil {
				return err
			}
			out.Series = append(out.Series, series)
		}
		return nil
	})
	return out, err
}

// use brings the fold of an account's period to the position of its subtotals and
// calls fn with it, while nobody else has it.
func (h *histories) use(ctx context.Context, w *whole, fn func(*historyFold) error) error {
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-h.turn }()
	limited, cancel := context.WithTimeout(ctx, historyCallMax)
	defer cancel()
	for {
		f, err := h.fold(ctx, w)
		if err != nil {
			return err
		}
		if err := f.advance(limited, w.header.Position); err != nil {
			if limited.Err() != nil && !errors.Is(ctx.Err(), context.Canceled) {
				return fault(ReasonHistoryNotReady, "ask again: it goes on from there",
					"the log is being read for account %q: %d of %d messages so far", w.account, f.reached-f.from, w.header.Position-f.from).because(err)
			}
			if limited.Err() == nil {
				err = errors.Join(err, h.forget(ctx, f))
			}
			return err
		}
		if !f.stale && !f.corrected {
			return fn(f)
		}
		// What was folded before counts otherwise now: once more, from the beginning, with
		// what is known now of corrections.
		if err := h.forget(ctx, f); err != nil {
			return err
		}
		w.fixes = f.fixes
	}
}

// fold returns the fold that goes on to a state, a new one where none is kept that
// could.
func (h *histories) fold(ctx context.Context, w *whole) (*historyFold, error) {
	h.mu.Lock()
	at := slices.IndexFunc(h.folds, func(f *historyFold) bool { return f.is(w) })
	var f *historyFold
	if at >= 0 {
		f = h.folds[at]
		h.folds = append(slices.Delete(h.folds, at, at+1), f) // the last to be forgotten
	}
	h.mu.Unlock()
	if f != nil {
		return f, nil
	}
	f, err := newHistoryFold(ctx, h.host, w)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.folds = append(h.folds, f)
	h.mu.Unlock()
	return f, h.trim(ctx, f)
}

// trim forgets the folds that are too many, but not the one given.
func (h *histories) trim(ctx context.Context, but *historyFold) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	identities := 0
	for _, f := range h.folds {
		identities += len(f.seen)
	}
	var problems []error
	for len(h.folds) > 1 && (len(h.folds) > historyFoldsMax || identities > historyIdentitiesMax) && h.folds[0] != but {
		identities -= len(h.folds[0].seen)
		problems = append(problems, h.folds[0].close(ctx))
		h.folds = slices.Delete(h.folds, 0, 1)
	}
	return errors.Join(problems...)
}

// forget drops a fold.
func (h *histories) forget(ctx context.Context, f *historyFold) error {
	h.mu.Lock()
	h.folds = slices.DeleteFunc(h.folds, func(o *historyFold) bool { return o == f })
	h.mu.Unlock()
	return f.close(ctx)
}

// close releases what the folds hold. Nobody may use them any more.
func (h *histories) close(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var problems []error
	for _, f := range h.folds {
		problems = append(problems, f.close(ctx))
	}
	h.folds = nil
	return errors.Join(problems...)
}
