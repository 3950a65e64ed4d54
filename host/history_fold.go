package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// historyFold folds one account's events of one period beside the partition, and
// notes by event time what they change. The events are taken in runs of one
// quarter of an hour, in the order of the log: what a run changes the subtotals by
// is this quarter's. The sums telescope, so all quarters together are the fold.
//
// What is priced is what the partition has priced: a repeated identity is passed
// over, and so is what became a dead letter or was voided; what was amended has its
// place and says what it was amended to. All is priced by the catalog of the
// state that the history is of, as a close now would; where the partition has
// priced by an earlier one, or with what the period before left, the difference is
// the rest of the series.
type historyFold struct {
	host     *Host
	account  string
	number   int // of the partition
	calendar rate.Calendar
	start    int64 // of the period, unix ns
	end      int64
	revision uint64 // of the catalog
	final    bool

	rater   *rate.Rater
	decoder *ingest.Decoder
	scratch side
	seen    map[ingest.Hash]struct{}
	dead    map[letterPlace]struct{} // dead letters of the account
	letters uint64                   // number of the last dead letter that was looked at
	fixes   fixes                    // what became of the account's events
	from    uint64                   // position before the first message that is read
	reached uint64                   // position of the last one
	stale   bool                     // a control message has changed what is behind

	corrected bool // so has a correction, which the next fold knows of

	events  []ingest.Event
	decoded int // bytes since the decoder was last emptied
	sums    map[pricing]map[int64]*historySum
	amounts map[slotName]*lineSum
	recent  recentEvents
}

// letterPlace is where a dead letter's event stands.
type letterPlace struct {
	position uint64
	index    int
}

// slotName names a slot of the fold.
type slotName struct {
	terms *rate.Terms
	group string
}

// lineSum is what a slot's lines come to.
type lineSum struct {
	amount   billing.Amount
	quantity billing.Quantity
}

// historySum is what one quarter of an hour has.
type historySum struct {
	lineSum
	events uint64
}

// quarter is the width in which a history is kept, ns: all time zones in use begin
// their days at one.
const quarter = int64(15 * time.Minute)

func newHistoryFold(ctx context.Context, h *Host, w *whole) (*historyFold, error) {
	f := &historyFold{
		host: h, account: w.account, number: w.partition.number, calendar: w.calendar,
		start: w.period.Start.UnixNano(), end: w.period.End.UnixNano(), revision: w.header.CatalogRevision, final: w.final,
		decoder: ingest.NewDecoder(h.seed), seen: map[ingest.Hash]struct{}{}, dead: map[letterPlace]struct{}{},
		sums: map[pricing]map[int64]*historySum{}, amounts: map[slotName]*lineSum{}, fixes: maps.Clone(w.fixes),
	}
	if f.fixes == nil {
		f.fixes = fixes{}
	}
	f.rater = rate.NewRater(h.registry)
	f.scratch = side{rater: f.rater, state: accumulate.NewState()}
	if err := f.prepare(ctx, w); err != nil {
		return nil, errors.Join(err, f.close(ctx))
	}
	return f, nil
}

// prepare finds out what is priced by which catalog, and where it begins.
func (f *historyFold) prepare(ctx context.Context, w *whole) (err error) {
	snapshot, err := f.host.catalogs.at(ctx, w.header.CatalogRevision, w.header.CatalogDigest)
	if err != nil {
		return err
	}
	f.rater.SetCatalog(snapshot)
	f.from, err = f.host.positionBefore(ctx, f.number, w.period.Start)
	f.reached = f.from
	return err
}

// readLetters takes note of the account's dead letters that have come since.
func (f *historyFold) readLetters() error {
	last := f.host.partitions[f.number].store.LogLast(accumulate.LogDeadLetters)
	err := f.host.eachLetter(f.number, f.letters+1, DeadLetterFilter{Account: f.account}, func(l *query.DeadLetter) (bool, error) {
		if l.Status != accumulate.OutcomePriced {
			f.dead[letterPlace{l.Position, l.Index}] = struct{}{}
		}
		return true, nil
	})
	f.letters = last
	return err
}

// is reports whether the fold is that of a state, or can go on to it.
func (f *historyFold) is(w *whole) bool {
	return f.account == w.account && f.calendar == w.calendar && f.start == w.period.Start.UnixNano() &&
		f.revision == w.header.CatalogRevision && f.reached <= w.header.Position && !f.stale && f.final == w.final
}

func (f *historyFold) close(ctx context.Context) error { return f.rater.Close(ctx) }

// errReached ends the reading of the log.
var errReached = errors.New("host: the position is reached")

// decodedMax is how much is decoded before the decoder is emptied, bytes.
const decodedMax = 4 << 20

// advance folds up to a position.
func (f *historyFold) advance(ctx context.Context, position uint64) error {
	if f.reached >= position {
		return nil
	}
	if err := f.readLetters(); err != nil {
		return err
	}
	begun := f.reached
	err := f.host.conn.Each(ctx, stream.Usage(f.number), "", f.reached, func(m stream.Message) error {
		if m.Sequence > position {
			return errReached
		}
		if err := f.message(ctx, m, begun); err != nil {
			return err
		}
		f.reached = m.Sequence
		return nil
	})
	// What was read is folded even when the time is over: the next call goes on.
	if flushed := f.flush(context.WithoutCancel(ctx)); flushed != nil {
		return flushed
	}
	if err != nil && !errors.Is(err, errReached) {
		return err
	}
	return nil
}

// message takes the account's events of a message.
func (f *historyFold) message(ctx context.Context, m stream.Message, begun uint64) error {
	if control, is := strings.CutPrefix(m.Subject, stream.ControlSubject(f.number, "")); is {
		// What a control message of before the fold began has changed is known. One
		// behind may change what is folded already: the next history begins anew.
		if strings.HasPrefix(control, "close.") {
			return nil
		}
		f.stale = f.stale || begun > f.from
		return nil
	}
	first := len(f.events)
	f.events = f.decoder.Decode(m.Header.Get, m.Data, f.events)
	kept := f.events[:first]
	for i := first; i < len(f.events); i++ {
		if e := &f.events[i]; f.takes(e, m.Sequence) {
			kept = append(kept, *e)
		}
	}
	clear(f.events[len(kept):])
	f.events, f.decoded = kept, f.decoded+len(m.Data)
	if len(f.seen) > historyIdentitiesMax {
		return fault(ReasonHistoryTooLarge, "see its subtotals with: tollway subtotals get "+f.account,
			"account %q has more than %d events in the period: too many to fold again for a history", f.account, historyIdentitiesMax)
	}
	if len(f.events) >= settleEvents || f.decoded >= decodedMax {
		return f.flush(ctx)
	}
	return nil
}

// takes reports whether the partition has priced an event of the fold, and has it say
// what it was amended to.
func (f *historyFold) takes(e *ingest.Event, position uint64) bool {
	if e.Problem != nil || e.Account != f.account {
		return false
	}
	if _, dead := f.dead[letterPlace{position, e.Index}]; dead {
		return false
	}
	if isCorrection(e) {
		f.fix(e, position)
		return false
	}
	if e.Time < f.start || e.Time >= f.end {
		return false
	}
	if _, again := f.seen[e.Identity]; again {
		return false
	}
	f.seen[e.Identity] = struct{}{}
	return !f.fixes.apply(f.decoder, e)
}

// fix notes a correction. One of an event that was folded already is for the next fold.
func (f *historyFold) fix(e *ingest.Event, position uint64) {
	if _, again := f.seen[e.Identity]; again {
		return
	}
	f.seen[e.Identity] = struct{}{}
	of, changed := f.fixes.put(f.decoder, e, position)
	if _, folded := f.seen[of]; folded && changed {
		f.corrected = true
	}
}

// flush folds the events that were read, in runs of one quarter of an hour.
func (f *historyFold) flush(ctx context.Context) error {
	for rest := f.events; len(rest) > 0; {
		at, n := rest[0].Time/quarter, 1
		for n < len(rest) && rest[n].Time/quarter == at {
			n++
		}
		if err := f.run(ctx, at*quarter, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	clear(f.events)
	f.events, f.decoded = f.events[:0], 0
	f.decoder.Reset()
	return nil
}

// run folds the events of one quarter of an hour.
func (f *historyFold) run(ctx context.Context, at int64, events []ingest.Event) error {
	out, err := f.rater.Rate(ctx, f.scratch.state, events)
	if err != nil {
		return err
	}
	for i := range out.Changes {
		if err := f.note(&out.Changes[i], at); err != nil {
			return err
		}
	}
	refused := 0
	for i := range events {
		if refused < len(out.Rejected) && out.Rejected[refused].Event == i {
			refused++
			continue
		}
		f.recent.add(&events[i])
	}
	return f.scratch.take(out.Changes)
}

// note adds what a change makes of a slot's lines to a quarter of an hour.
func (f *historyFold) note(c *rate.Change, at int64) error {
	plan := c.Terms.Plan
	name := slotName{c.Terms, c.Group}
	if c.Slot != nil {
		name = slotName{c.Slot.Terms(), c.Slot.Group()}
	} else {
		name.group = strings.Clone(name.group)
	}
	now, err := sumOfLines(plan, c.Lines)
	if err != nil {
		return fmt.Errorf("host: history of account %q, tariff %q: %w", f.account, plan.Tariff, err)
	}
	before := f.amounts[name]
	if before == nil {
		before = &lineSum{}
		f.amounts[name] = before
	}
	series := f.sums[pricingOf(plan)]
	if series == nil {
		series = map[int64]*historySum{}
		f.sums[pricingOf(plan)] = series
	}
	sum := series[at]
	if sum == nil {
		sum = &historySum{}
		series[at] = sum
	}
	sum.events += c.Events
	if err := sum.addChange(*before, now); err != nil {
		return fmt.Errorf("host: history of account %q, tariff %q: %w", f.account, plan.Tariff, err)
	}
	*before = now
	return nil
}

// addChange adds what lines have become less what they were.
func (s *lineSum) addChange(before, now lineSum) error {
	amount, err := now.amount.Sub(before.amount)
	if err == nil {
		s.amount, err = s.amount.Add(amount)
	}
	if err != nil {
		return err
	}
	quantity, err := now.quantity.Sub(before.quantity)
	if err == nil {
		s.quantity, err = s.quantity.Add(quantity)
	}
	return err
}

// sumOfLines adds up lines as plugins have them, each rounded as on the invoice.
func sumOfLines(plan *rate.Plan, lines []byte) (s lineSum, err error) {
	for _, l := range rate.LinesOf(lines) {
		amount, err := billing.Amount(l.Amount).Round(plan.Rounding)
		if err == nil {
			s.amount, err = s.amount.Add(amount)
		}
		if err == nil {
			s.quantity, err = s.quantity.Add(billing.Quantity(l.Quantity))
		}
		if err != nil {
			return lineSum{}, err
		}
	}
	return s, nil
}

// series shows the quarters of one pricing by hour or by day.
func (f *historyFold) series(k pricing, sum *wholeSum, byDay bool, zone *time.Location) (query.HistorySeries, error) {
	out := query.HistorySeries{Tariff: k.tariff, Meter: k.meter, Currency: k.currency, AmountText: sum.text(sum.amount), RestEvents: int64(sum.events)}
	rest := sum.amount
	var bucket *query.HistoryBucket
	var inBucket lineSum
	end := func() {
		if bucket != nil {
			bucket.QuantityText, bucket.AmountText = inBucket.quantity.String(), sum.text(inBucket.amount)
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(f.sums[k]), cmp.Compare[int64]) {
		q := f.sums[k][at]
		start := time.Unix(0, at).UTC().Truncate(time.Hour)
		if byDay {
			start = startOfDay(time.Unix(0, at).In(zone))
		}
		if bucket == nil || !bucket.Start.Equal(start) {
			end()
			out.Buckets = append(out.Buckets, query.HistoryBucket{Start: start})
			bucket, inBucket = &out.Buckets[len(out.Buckets)-1], lineSum{}
		}
		bucket.Events += q.events
		out.RestEvents -= int64(q.events)
		if err := inBucket.addChange(lineSum{}, q.lineSum); err != nil {
			return out, fmt.Errorf("host: history of account %q: %w", f.account, err)
		}
		var err error
		if rest, err = rest.Sub(q.amount); err != nil {
			return out, fmt.Errorf("host: history of account %q: %w", f.account, err)
		}
	}
	end()
	out.RestText = sum.text(rest)
	return out, nil
}

// startOfDay returns the midnight before a time, in its zone. Where the clocks skip
// midnight it is the day's first instant.
func startOfDay(t time.Time) time.Time {
	day := billing.Calendar{Zone: t.Location(), AnchorDay: t.Day()}.PeriodOf(t)
	return day.Start
}
