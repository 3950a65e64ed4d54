package query

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/sdk/billing"
)

// rollup answers questions about the sums of all subtotals. It is safe for
// concurrent use: one question at a time brings the ledgers up to date.
type rollup struct {
	partitions []Partition
	asOf       func(partitions []int, headers []accumulate.Header) AsOf
	instance   uint64 // differs from that of any other process

	mu      sync.Mutex
	ledgers []*ledger // nil while nobody asks
	idle    *time.Timer
	asked   uint64 // questions so far
	cuts    []*cutSums
	next    uint64 // number of the next cut
}

// How long, and how much, is kept for questions to come.
const (
	rollupIdle  = 2 * time.Minute
	cutsMax     = 32
	cutsRowsMax = 2_000_000 // over all cuts, but the newest is always kept
)

// cutSums are the sums of one question at one cut, kept for its further pages.
type cutSums struct {
	number   uint64
	grouping Grouping
	rows     []SumRow
	totals   []Total
	asOf     AsOf
}

func newRollup(partitions []Partition, instance uint64, asOf func([]int, []accumulate.Header) AsOf) *rollup {
	return &rollup{partitions: partitions, asOf: asOf, instance: instance}
}

// Sums returns a page of sums. All pages are of the cut of the first one while it is
// kept.
func (e *Engine) Sums(g Grouping, page Page) (SumPage, error) {
	if g.By == ByDimension && g.Dimension == "" {
		return SumPage{}, fmt.Errorf("%w: dimension: name the dimension to group by", ErrInvalid)
	}
	return e.rollup.page(g, page)
}

// sumToken is where a page of sums begins.
type sumToken struct {
	Instance uint64           `json:"i"`
	Cut      uint64           `json:"c"`
	Row      int              `json:"n"` // of the cut
	Key      string           `json:"k"` // of the row before, for when the cut is gone
	Currency billing.Currency `json:"y"`
	Amount   billing.Amount   `json:"a"`
}

func decodeSumToken(token string) (t sumToken, err error) {
	if token == "" {
		return t, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil || t.Row < 0 {
		return t, fmt.Errorf("%w: page_token: not one that a list of sums has returned", ErrInvalid)
	}
	return t, nil
}

func (r *rollup) page(g Grouping, page Page) (SumPage, error) {
	at, err := decodeSumToken(page.Token)
	if err != nil {
		return SumPage{}, err
	}
	size := page.Size
	if size <= 0 {
		size = DefaultPageSize
	}
	size = min(size, MaxPageSize)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stayAwake()
	cut, from, moved := r.kept(g, at), at.Row, false
	if cut == nil || from > len(cut.rows) {
		if cut, err = r.make(g); err != nil {
			return SumPage{}, err
		}
		if moved = page.Token != ""; moved {
			before := SumRow{Key: at.Key, Currency: at.Currency, Amount: at.Amount}
			var found bool
			if from, found = slices.BinarySearchFunc(cut.rows, before, g.compare); found {
				from++
			}
		}
	}
	end := min(from+size, len(cut.rows))
	out := SumPage{Rows: slices.Clone(cut.rows[from:end]), Totals: cut.totals, Size: len(cut.rows), AsOf: cut.asOf, Moved: moved}
	if end == len(cut.rows) {
		return out, nil
	}
	if cut.number == 0 {
		r.keep(cut)
	}
	last := &cut.rows[end-1]
	b, err := json.Marshal(sumToken{Instance: r.instance, Cut: cut.number, Row: end, Key: last.Key, Currency: last.Currency, Amount: last.Amount})
	if err != nil {
		return SumPage{}, fmt.Errorf("query: page token: %w", err)
	}
	out.NextToken = base64.RawURLEncoding.EncodeToString(b)
	return out, nil
}

// kept returns the cut that a token is of, nil when there is none.
func (r *rollup) kept(g Grouping, at sumToken) *cutSums {
	if at.Cut == 0 || at.Instance != r.instance {
		return nil
	}
	for i, c := range r.cuts {
		if c.number == at.Cut && c.grouping == g {
			r.cuts = append(slices.Delete(r.cuts, i, i+1), c) // the one used last is the last to go
			return c
		}
	}
	return nil
}

// keep keeps a cut for further pages, and drops others for it.
func (r *rollup) keep(c *cutSums) {
	r.next++
	c.number = r.next
	r.cuts = append(r.cuts, c)
	rows := 0
	for _, kept := range r.cuts {
		rows += len(kept.rows)
	}
	for len(r.cuts) > 1 && (len(r.cuts) > cutsMax || rows > cutsRowsMax) {
		rows -= len(r.cuts[0].rows)
		r.cuts = slices.Delete(r.cuts, 0, 1)
	}
}

// make answers a question from the newest checkpoints.
func (r *rollup) make(g Grouping) (*cutSums, error) {
	sums := groups{by: g, rows: map[sumKey]*adder{}}
	var partitions []int
	var headers []accumulate.Header
	add := func(n int, l *ledger) error {
		if l.problem != nil {
			return l.problem
		}
		sums.addAll(l)
		partitions, headers = append(partitions, n), append(headers, l.header)
		return nil
	}
	if g.Account != "" {
		n := billing.Partition(g.Account, len(r.partitions))
		if err := add(n, accountLedger(r.partitions[n].State, string(g.Account))); err != nil {
			return nil, err
		}
	} else {
		for n, p := range r.partitions {
			if len(r.ledgers) == n {
				r.ledgers = append(r.ledgers, newLedger(p.State))
			}
			r.ledgers[n].refresh()
			if err := add(n, r.ledgers[n]); err != nil {
				return nil, err
			}
		}
	}
	cut := &cutSums{grouping: g, asOf: r.asOf(partitions, headers)}
	cut.rows, cut.totals = sums.finish()
	return cut, nil
}

// stayAwake has all that is kept dropped when no question comes for a while. The
// lock is held.
func (r *rollup) stayAwake() {
	r.asked++
	asked := r.asked
	if r.idle != nil {
		r.idle.Stop()
	}
	r.idle = time.AfterFunc(rollupIdle, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.asked == asked {
			r.drop()
		}
	})
}

// drop lets go of everything. The lock is held.
func (r *rollup) drop() {
	for _, l := range r.ledgers {
		l.follower.Close()
	}
	r.ledgers, r.cuts = nil, nil
}
