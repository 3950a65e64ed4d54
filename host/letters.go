package host

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
)

// A dead letter is settled in the order of the log, like everything that decides
// money: an operator's wish to replay or discard it is a control message, and the
// partition acts when it reads that. Replayed, an event is rated as if it had
// just come in, from the message that carried it first; its identity makes sure
// that it is priced once, whatever is replayed how often.

// ReasonNotInLog is why a replay is refused whose message is not in the log any
// more.
const ReasonNotInLog = "not_in_log"

// letterOrder is the body of a control message that settles dead letters.
type letterOrder struct {
	Discard bool        `json:"discard,omitempty"` // else replay
	Letters []letterRef `json:"letters"`
	Why     string      `json:"why,omitempty"` // they are discarded
	At      time.Time   `json:"at"`            // this and the next are for people only
	By      string      `json:"by"`
}

// letterRef names a dead letter and where its event is.
type letterRef struct {
	Number   uint64 `json:"number"`
	Position uint64 `json:"position"`
	Index    int    `json:"index"`
}

// replay says that pending events are dead letters.
type replay struct {
	letters []uint64           // numbers, by event
	places  []uint64           // positions of the messages that carried them
	back    map[uint64]bool    // numbers of those that had been priced and were taken back
	order   accumulate.Verdict // what all verdicts share
}

// verdict makes the verdict on the i-th pending event.
func (r *replay) verdict(i int, outcome string, why *refusal) accumulate.Verdict {
	v := r.order
	v.Letter, v.Outcome = r.letters[i], outcome
	if why != nil {
		v.Reason, v.Detail = why.reason, why.detail
	}
	return v
}

// settleLetters acts on an order. Letters that are settled already, by an earlier
// order, are passed over.
func (p *partition) settleLetters(ctx context.Context, o letterOrder, m stream.Message) error {
	r := &replay{back: map[uint64]bool{}, order: accumulate.Verdict{Position: m.Sequence, By: o.By, At: o.At.UTC().Format(time.RFC3339)}}
	seen := map[uint64]bool{}
	var refs []letterRef
	for _, ref := range o.Letters {
		is, takenBack, err := p.isLetter(ref)
		if err != nil {
			return err
		}
		if takenBack {
			r.back[ref.Number] = true
		}
		if !is || seen[ref.Number] {
			p.log().Warn("order on a dead letter ignored: it is settled, or there is none such", "partition", p.number, "position", m.Sequence, "letter", ref.Number)
			continue
		}
		seen[ref.Number] = true
		refs = append(refs, ref)
	}
	failpoint.Hit("letters.read-back")
	if !o.Discard {
		return p.replay(ctx, r, refs, &m)
	}
	for _, ref := range refs {
		v := r.order
		v.Letter, v.Outcome, v.Detail = ref.Number, accumulate.OutcomeDiscarded, o.Why
		if err := p.state.AddVerdict(v); err != nil {
			return err
		}
		p.state.Now().Counters.Discarded++
	}
	return nil
}

// isLetter reports whether a reference is to a dead letter that is open, and
// whether its event had been priced and was taken back.
func (p *partition) isLetter(ref letterRef) (is, takenBack bool, err error) {
	if !p.state.LetterOpen(ref.Number) {
		return false, false, nil
	}
	var l accumulate.DeadLetter
	decode := func(_ uint64, entry []byte) error { return json.Unmarshal(entry, &l) }
	if entry := p.state.Letter(ref.Number); entry != nil {
		err = decode(ref.Number, entry)
	} else {
		err = p.store.LogRange(accumulate.LogDeadLetters, ref.Number, 1, decode)
	}
	if err != nil {
		return false, false, fmt.Errorf("host: dead letter %d of partition %d: %w", ref.Number, p.number, err)
	}
	return l.Position == ref.Position && l.Index == ref.Index, l.TakenBack, nil
}

// replay rates the events of dead letters again. The control message stands for
// those that carried them.
func (p *partition) replay(ctx context.Context, r *replay, refs []letterRef, m *stream.Message) error {
	slices.SortFunc(refs, func(a, b letterRef) int { return cmp.Compare(a.Number, b.Number) })
	for len(refs) > 0 {
		n, err := p.gather(ctx, r, refs, m)
		if err == nil {
			err = p.settle(ctx, m)
		}
		if err != nil {
			return err
		}
		refs, r.letters, r.places = refs[n:], nil, nil
	}
	return nil
}

// gather makes the events of the first dead letters pending, of as many as may be
// in memory at once, and returns of how many. What is judged by the time of the
// message that carried an event is judged by that of the order.
func (p *partition) gather(ctx context.Context, r *replay, refs []letterRef, order *stream.Message) (int, error) {
	q := &p.pending
	q.replay = r
	q.messages = append(q.messages, carrier{position: order.Sequence, at: storedAt(order)})
	var of uint64 // position of the message in events
	var events []ingest.Event
	bytes := 0
	for i, ref := range refs {
		if of != ref.Position {
			if bytes >= decodedBytes {
				return i, nil
			}
			carried, size, err := p.carried(ctx, p.decoder, ref.Position)
			if err != nil {
				return 0, err
			}
			of, events, bytes = ref.Position, carried, bytes+size
		}
		at := slices.IndexFunc(events, func(e ingest.Event) bool { return e.Index == ref.Index })
		event := ingest.Event{Index: ref.Index, Problem: &ingest.Problem{
			Reason: ReasonNotInLog, Detail: fmt.Sprintf("the log has no event %d in a message at position %d", ref.Index, ref.Position),
		}}
		if at >= 0 {
			event = events[at]
		}
		if r.back[ref.Number] {
			if err := p.amend(ctx, p.decoder, &event); err != nil {
				return 0, err
			}
		}
		q.events, q.of = append(q.events, event), append(q.of, 0)
		r.letters, r.places = append(r.letters, ref.Number), append(r.places, ref.Position)
	}
	return len(refs), nil
}

// decodedBytes is how much of the log is decoded at once where messages are read
// again: the memory of what is decoded is free only when all of it is settled.
const decodedBytes = 4 << 20

// Pace at which a message is asked for again while the log cannot be read.
const (
	carriedRetryMin = 50 * time.Millisecond
	carriedRetryMax = 5 * time.Second
)

// carried returns the events of a message of the log and its size, none when it is
// not there. While the log cannot be read it waits: what a replay comes to must not
// hang on that.
func (p *partition) carried(ctx context.Context, decoder *ingest.Decoder, position uint64) (events []ingest.Event, bytes int, err error) {
	for wait := carriedRetryMin; ; wait = min(2*wait, carriedRetryMax) {
		m, err := p.conn().Get(ctx, stream.Usage(p.number), position)
		switch {
		case err == nil:
			return decoder.Decode(m.Header.Get, m.Data, nil), len(m.Data), nil
		case errors.Is(err, stream.ErrNotFound):
			return nil, 0, nil
		case ctx.Err() != nil:
			return nil, 0, ctx.Err()
		}
		p.log().Warn("a message to be replayed cannot be read, trying again", "partition", p.number, "position", position, "after", wait, "error", err)
		if err := p.pause(ctx, wait); err != nil {
			return nil, 0, err
		}
	}
}

// pause waits, and gives the partition's turn to others meanwhile.
func (p *partition) pause(ctx context.Context, d time.Duration) error {
	p.turn.give()
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return ctx.Err()
	}
	return p.turn.take(ctx)
}

// verdicts are those on the dead letters of a partition that the committed state
// has. It is safe for concurrent use.
type verdicts struct {
	mu      sync.RWMutex
	indexed uint64 // number of the last entry of the log that is in it
	of      map[uint64]judged
}

// judged is the last verdict on a dead letter, and how often it was replayed.
type judged struct {
	accumulate.Verdict
	attempts int
}

// reset drops them all: their log is made again.
func (v *verdicts) reset() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.indexed, v.of = 0, nil
}

// load takes the log of verdicts in, from where it was left.
func (v *verdicts) load(store PartitionStore) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	last := store.LogLast(accumulate.LogVerdicts)
	if v.indexed == last {
		return nil
	}
	if v.of == nil {
		v.of = map[uint64]judged{}
	}
	return store.LogRange(accumulate.LogVerdicts, v.indexed+1, int(last-v.indexed), func(n uint64, entry []byte) error {
		var verdict accumulate.Verdict
		if err := json.Unmarshal(entry, &verdict); err != nil {
			return fmt.Errorf("verdict %d: %w", n, err)
		}
		j := judged{Verdict: verdict, attempts: v.of[verdict.Letter].attempts}
		if verdict.Outcome != accumulate.OutcomeDiscarded {
			j.attempts++
		}
		v.of[verdict.Letter] = j
		v.indexed = n
		return nil
	})
}

// on returns the last verdict on a dead letter.
func (v *verdicts) on(number uint64) (judged, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	j, ok := v.of[number]
	return j, ok
}

// show writes what has become of a dead letter into its description.
func (v *verdicts) show(l *query.DeadLetter) {
	l.Status = query.StatusOpen
	j, ok := v.on(l.Number)
	if !ok {
		return
	}
	l.Attempts, l.By, l.At = j.attempts, j.By, j.At
	switch {
	case !j.Settles():
		l.Reason, l.Detail = j.Reason, j.Detail
	default:
		l.Status, l.Why = j.Outcome, j.Detail
	}
}

// LetterName names a dead letter.
type LetterName struct {
	Partition int
	Number    uint64 // within the partition, from 1
}

// SettleRequest says which dead letters are replayed or discarded: those named,
// or, when none is, all open ones that the filter selects.
type SettleRequest struct {
	Names   []LetterName
	Filter  DeadLetterFilter
	Discard bool
	Why     string // they are discarded
	By      string // who asks, for the record
}

// Settled counts what became of dead letters: priced, found to have been priced
// in the meantime, refused again, discarded, and passed over since they were
// settled before.
type Settled struct{ Priced, Duplicates, Refused, Discarded, Passed uint64 }

// orderLetters are the most dead letters of one control message.
const orderLetters = 1_000

// SettleLetters replays or discards dead letters, and returns when the state
// that has the outcome is committed.
func (h *Host) SettleLetters(ctx context.Context, r SettleRequest) (Settled, error) {
	refs, settled, err := h.selected(r)
	if err != nil {
		return settled, err
	}
	var positions []query.Position
	for _, n := range slices.Sorted(maps.Keys(refs)) { // in the same order each time: an order that fails ends the call
		p := h.partitions[n]
		for chunk := range slices.Chunk(refs[n], orderLetters) {
			body, err := json.Marshal(letterOrder{Discard: r.Discard, Letters: chunk, Why: r.Why, At: h.config.Now().UTC(), By: r.By})
			if err != nil {
				return settled, fmt.Errorf("host: order on dead letters: %w", err)
			}
			failpoint.Hit("letters.before-order")
			digest := sha256.Sum256(body)
			position, err := h.appendOnce(ctx, n, p.controlPrefix()+"letters."+hex.EncodeToString(digest[:16]), body)
			if err != nil {
				return settled, err
			}
			positions = append(positions, position)
		}
	}
	if err := h.Wait(ctx, positions); err != nil {
		return settled, err
	}
	for n, list := range refs {
		for _, ref := range list {
			v, ok := h.partitions[n].letters.on(ref.Number)
			settled.count(v.Verdict, ok)
		}
	}
	return settled, nil
}

// count adds the outcome of one.
func (s *Settled) count(v accumulate.Verdict, ok bool) {
	switch {
	case !ok:
		s.Passed++
	case v.Outcome == accumulate.OutcomePriced:
		s.Priced++
	case v.Outcome == accumulate.OutcomeDuplicate:
		s.Duplicates++
	case v.Outcome == accumulate.OutcomeDiscarded:
		s.Discarded++
	default:
		s.Refused++
	}
}

// selected lists what a request selects, by partition.
func (h *Host) selected(r SettleRequest) (map[int][]letterRef, Settled, error) {
	refs, settled := map[int][]letterRef{}, Settled{}
	take := func(l *query.DeadLetter) {
		refs[l.Partition] = append(refs[l.Partition], letterRef{Number: l.Number, Position: l.Position, Index: l.Index})
	}
	named := map[LetterName]bool{}
	for _, name := range r.Names {
		if named[name] {
			continue
		}
		named[name] = true
		l, err := h.DeadLetter(name)
		if err != nil {
			return nil, settled, err
		}
		if l.Status != query.StatusOpen {
			settled.Passed++
			continue
		}
		take(&l)
	}
	if len(r.Names) > 0 {
		return refs, settled, nil
	}
	r.Filter.Status = query.StatusOpen
	for n := range h.partitions {
		err := h.eachLetter(n, 1, r.Filter, func(l *query.DeadLetter) (bool, error) {
			take(l)
			return true, nil
		})
		if err != nil {
			return nil, settled, err
		}
	}
	return refs, settled, nil
}

// DeadLetter returns one dead letter.
func (h *Host) DeadLetter(name LetterName) (query.DeadLetter, error) {
	none := fault(ReasonNotFound, "list them with: tollway dead-letters list --status all", "there is no dead letter %d/%d", name.Partition, name.Number)
	if name.Partition < 0 || name.Partition >= len(h.partitions) || name.Number == 0 ||
		name.Number > h.partitions[name.Partition].store.LogLast(accumulate.LogDeadLetters) {
		return query.DeadLetter{}, none
	}
	var found *query.DeadLetter
	err := h.eachLetter(name.Partition, name.Number, DeadLetterFilter{}, func(l *query.DeadLetter) (bool, error) {
		found = l
		return false, nil
	})
	if err != nil || found == nil {
		return query.DeadLetter{}, errors.Join(err, none)
	}
	return *found, nil
}

// LetterCount is how many dead letters of a reason there are.
type LetterCount struct {
	Reason string
	Open   uint64
	All    uint64
}

// CountLetters counts the dead letters by reason, sorted.
func (h *Host) CountLetters() ([]LetterCount, query.AsOf, error) {
	asOf := h.queries.AsOf()
	counts := map[string]*LetterCount{}
	for n := range h.partitions {
		err := h.eachLetter(n, 1, DeadLetterFilter{}, func(l *query.DeadLetter) (bool, error) {
			c := counts[l.Reason]
			if c == nil {
				c = &LetterCount{Reason: l.Reason}
				counts[l.Reason] = c
			}
			c.All++
			if l.Status == query.StatusOpen {
				c.Open++
			}
			return true, nil
		})
		if err != nil {
			return nil, asOf, err
		}
	}
	list := make([]LetterCount, 0, len(counts))
	for _, c := range counts {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b LetterCount) int { return cmp.Compare(a.Reason, b.Reason) })
	return list, asOf, nil
}
