package host

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/backfill"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// backfillEventsMax is how many events a report lists of an account.
const backfillEventsMax = 10

// bucketTail is a bucket of a set as a trial reads it.
type bucketTail struct {
	set    *backfill.Set
	bucket backfill.Bucket
}

func (b bucketTail) message(n uint64, body []byte) stream.Message {
	return stream.Message{
		Subject: stream.BatchSubject(b.bucket.Partition), Sequence: n, Data: body,
		Header: stream.Header{"Content-Type": {ingest.ContentTypePacked}},
	}
}

// Len returns the number of messages.
func (b bucketTail) Len() uint64 { return b.bucket.Messages }

// Each calls fn with each message.
func (b bucketTail) Each(fn func(stream.Message) error) error {
	return b.set.Each(b.bucket, func(n uint64, body []byte) error { return fn(b.message(n, body)) })
}

// Get returns the n-th message.
func (b bucketTail) Get(n uint64) (*stream.Message, error) {
	var found *stream.Message
	err := b.set.Each(b.bucket, func(at uint64, body []byte) error {
		if at < n {
			return nil
		}
		m := b.message(at, body)
		found = &m
		return errReached
	})
	switch {
	case found != nil:
		return found, nil
	case err != nil:
		return nil, fmt.Errorf("host: message %d of backfill %s: %w", n, b.set.Name, err)
	}
	return nil, fmt.Errorf("host: message %d of backfill %s: %w", n, b.set.Name, stream.ErrNotFound)
}

// ShowBackfill finds out what a set would change, and names so many accounts at most,
// those with the largest differences. One bucket of the set is tried after the other,
// with the state as it is then, so a partition's accounts may be shown as of different
// positions: each says its own.
func (h *Host) ShowBackfill(ctx context.Context, name string, accountsMax int) (query.BackfillReport, error) {
	b := h.backfills
	if err := b.take(ctx); err != nil {
		return query.BackfillReport{}, err
	}
	defer b.give()
	if r, known := b.record(name); known {
		return query.BackfillReport{}, fault(ReasonBackfillExists, "its events are usage as any other now", "backfill %s was committed by %s on %s", name, r.By, r.At.Format("2006-01-02 15:04:05"))
	}
	set, err := b.store.Get(name)
	if err != nil {
		return query.BackfillReport{}, invalidBackfill(name, err)
	}
	c := newBackfillComparison(h, accountsMax)
	for _, bucket := range set.Buckets {
		if err := c.bucket(ctx, set, bucket); err != nil {
			return query.BackfillReport{}, fmt.Errorf("host: backfill %s: %w", name, err)
		}
	}
	if err := set.SetShown(backfill.Shown{At: h.config.Now().UTC(), Positions: c.from}); err != nil {
		return query.BackfillReport{}, err
	}
	report, err := c.report()
	if err == nil {
		report.Backfill, err = b.describe(name)
	}
	return report, err
}

// newBackfillComparison begins to find out what changes, for so many accounts at most.
func newBackfillComparison(h *Host, most int) *backfillComparison {
	return &backfillComparison{host: h, most: most, refused: map[string]*query.BackfillRefusal{}, totals: map[billing.Currency]*backfillSum{}, from: map[int]uint64{}}
}

// backfillComparison collects what the buckets of a set would change, or a catalog that
// reprices.
type backfillComparison struct {
	host *Host
	most int
	from map[int]uint64 // by partition, as of where its first bucket was tried

	priced, duplicates, different uint64
	refused                       map[string]*query.BackfillRefusal
	totals                        map[billing.Currency]*backfillSum
	accounts                      []query.BackfillAccount // the biggest
	unbilled                      []query.Parked
	closed                        []query.BackfillClose
}

// backfillSum adds up line items that differ.
type backfillSum struct {
	old, new billing.Amount
	decimals int
}

func (s *backfillSum) add(c *export.Change) (err error) {
	if s.old, err = s.old.Add(c.OldAmount); err == nil {
		s.new, err = s.new.Add(c.NewAmount)
	}
	s.decimals = max(s.decimals, c.Decimals)
	return err
}

// bucket tries a bucket.
func (c *backfillComparison) bucket(ctx context.Context, set *backfill.Set, bucket backfill.Bucket) error {
	usage := bucketTail{set, bucket}
	accounts, err := accountsOf(c.host, usage)
	if err != nil {
		return err
	}
	trials, p := c.host.backfills.trials, c.host.partitions[bucket.Partition]
	if err := trials.take(ctx); err != nil {
		return err
	}
	defer trials.give()
	taken, err := trials.begin(ctx, p, accounts)
	if err != nil {
		return err
	}
	if taken.catalog == nil {
		return fault(ReasonInvalidBackfill, "apply a catalog first: tollway apply -f FILE", "nothing can be priced without a catalog")
	}
	if _, known := c.from[bucket.Partition]; !known {
		c.from[bucket.Partition] = taken.part.Header.Position
	}
	with, err := trials.over(p, taken, accounts, usage)
	if err != nil {
		return err
	}
	if err := with.try(ctx, c.refuse); err != nil {
		return err
	}
	now, was := with.state.Now().Counters, taken.part.Header.Counters
	c.priced += now.Priced - was.Priced
	c.duplicates += now.Duplicates - was.Duplicates
	events, err := with.pricedEvents()
	if err != nil {
		return err
	}
	return c.compare(ctx, with, taken, accounts, events)
}

// compare compares what is billed of accounts after what was tried with what would be
// without it, and takes the difference.
func (c *backfillComparison) compare(ctx context.Context, with *trial, taken *trialTaken, accounts []string, events map[string]*triedEvents) error {
	trials, p := c.host.backfills.trials, with.of
	upTo := with.calendarsToClose()
	for _, k := range slices.SortedFunc(maps.Keys(upTo), compareCalendars) {
		c.closed = append(c.closed, query.BackfillClose{Partition: p.number, Zone: k.Zone, AnchorDay: k.AnchorDay, Period: upTo[k]})
	}
	after, err := c.billed(ctx, with, upTo)
	if err != nil {
		return err
	}
	for _, k := range with.state.Parked() {
		if len(c.unbilled) < query.BackfillUnbilledMax {
			c.unbilled = append(c.unbilled, parkedOf(k, p.number))
		}
	}
	without, err := trials.over(p, taken, accounts, nil)
	if err != nil {
		return err
	}
	before, err := c.billed(ctx, without, upTo)
	if err != nil {
		return err
	}
	changes, err := export.Compare(before, after)
	if err != nil {
		return err
	}
	return c.take(changes, events, p.number, taken.part.Header.Position)
}

// billed closes what a set has usage in, and returns the invoices.
func (c *backfillComparison) billed(ctx context.Context, t *trial, upTo map[rate.Calendar]billing.Period) ([]export.Invoice, error) {
	if err := t.closeAll(ctx, upTo); err != nil {
		return nil, err
	}
	return t.invoices()
}

// accountsOf lists the accounts of a bucket's events.
func accountsOf(h *Host, usage tail) ([]string, error) {
	decoder := ingest.NewDecoder(h.seed)
	seen := map[string]bool{}
	var events []ingest.Event
	err := usage.Each(func(m stream.Message) error {
		defer decoder.Reset()
		events = decoder.Decode(m.Header.Get, m.Data, events[:0])
		for i := range events {
			if e := &events[i]; e.Problem == nil && !seen[e.Account] {
				seen[strings.Clone(e.Account)] = true
			}
		}
		return nil
	})
	return slices.Sorted(maps.Keys(seen)), err
}

// triedEvents are those of an account that were priced.
type triedEvents struct {
	first []query.BackfillEvent
	more  uint64
}

// pricedEvents lists the events that a trial has priced, by account: their identities
// are known since the message that carries them.
func (t *trial) pricedEvents() (map[string]*triedEvents, error) {
	decoder := ingest.NewDecoder(t.host.seed)
	list := map[string]*triedEvents{}
	var events []ingest.Event
	err := t.tail.Each(func(m stream.Message) error {
		defer decoder.Reset()
		events = decoder.Decode(m.Header.Get, m.Data, events[:0])
		for i := range events {
			e := &events[i]
			if e.Problem != nil {
				continue
			}
			seen, known, err := t.seen.Find(e.Identity)
			if err != nil {
				return err
			}
			if !known || seen.Position != t.position+m.Sequence {
				continue
			}
			of := list[e.Account]
			if of == nil {
				of = &triedEvents{}
				list[strings.Clone(e.Account)] = of
			}
			if len(of.first) == backfillEventsMax {
				of.more++
				continue
			}
			of.first = append(of.first, query.BackfillEvent{Source: strings.Clone(e.Source), ID: strings.Clone(e.ID)})
		}
		return nil
	})
	return list, err
}

// refuse counts an event that would be a dead letter.
func (c *backfillComparison) refuse(l accumulate.DeadLetter) {
	one := c.refused[l.Reason]
	if one == nil {
		one = &query.BackfillRefusal{Reason: l.Reason, Detail: l.Detail, Account: l.Account, Source: l.Source, EventID: l.ID}
		c.refused[l.Reason] = one
	}
	one.Events++
}

// take takes what a bucket changes, which is by account, period and currency.
func (c *backfillComparison) take(changes []export.Change, events map[string]*triedEvents, partition int, position uint64) error {
	type bill struct {
		account  billing.AccountID
		currency billing.Currency
	}
	sums := map[bill]*backfillSum{}
	shown := map[bill]*query.BackfillAccount{}
	var order []bill
	for i := range changes {
		ch := &changes[i]
		k := bill{ch.Account, ch.Currency}
		if sums[k] == nil {
			sums[k], shown[k] = &backfillSum{}, &query.BackfillAccount{Account: ch.Account, Partition: partition, Position: position, Currency: ch.Currency}
			if e := events[string(ch.Account)]; e != nil {
				shown[k].Events, shown[k].More = e.first, e.more
			}
			order = append(order, k)
		}
		if c.totals[ch.Currency] == nil {
			c.totals[ch.Currency] = &backfillSum{}
		}
		if err := sums[k].add(ch); err != nil {
			return err
		}
		if err := c.totals[ch.Currency].add(ch); err != nil {
			return err
		}
		line, err := backfillLine(ch)
		if err != nil {
			return err
		}
		shown[k].Lines = append(shown[k].Lines, line)
	}
	for _, k := range order {
		a, s := shown[k], sums[k]
		var err error
		if a.DifferentAmount, err = s.new.Sub(s.old); err != nil {
			return err
		}
		a.Old, a.New, a.Difference = s.old.Fixed(s.decimals), s.new.Fixed(s.decimals), a.DifferentAmount.Fixed(s.decimals)
		c.accounts = append(c.accounts, *a)
	}
	c.different += uint64(len(order))
	c.keepBiggest()
	return nil
}

// backfillLine shows a line item that would be other.
func backfillLine(c *export.Change) (query.BackfillLine, error) {
	by, err := c.NewAmount.Sub(c.OldAmount)
	if err != nil {
		return query.BackfillLine{}, err
	}
	return query.BackfillLine{
		Period: c.Period, Closed: c.Closed, Tariff: c.Line.Tariff, Rule: c.Line.Rule, Subscription: c.Line.Subscription, Version: c.Line.Version, ID: c.Line.ID,
		Group: groupText(c.Line.Group), Description: c.Line.Description,
		OldQuantity: c.OldQuantity.String(), NewQuantity: c.NewQuantity.String(),
		OldAmount: c.OldAmount.Fixed(c.Decimals), NewAmount: c.NewAmount.Fixed(c.Decimals), Difference: by.Fixed(c.Decimals),
	}, nil
}

// keepBiggest keeps as many accounts as are asked for.
func (c *backfillComparison) keepBiggest() {
	size := func(a billing.Amount) billing.Amount {
		if a.Sign() >= 0 {
			return a
		}
		n, err := a.Neg()
		if err != nil { // the lowest there is
			return a
		}
		return n
	}
	slices.SortStableFunc(c.accounts, func(a, b query.BackfillAccount) int {
		return cmp.Or(size(b.DifferentAmount).Cmp(size(a.DifferentAmount)), strings.Compare(string(a.Account), string(b.Account)), strings.Compare(string(a.Currency), string(b.Currency)))
	})
	if len(c.accounts) > c.most {
		clear(c.accounts[c.most:])
		c.accounts = c.accounts[:c.most]
	}
}

// report shows what was found.
func (c *backfillComparison) report() (query.BackfillReport, error) {
	out := query.BackfillReport{
		AsOf: c.host.queries.AsOf(), Priced: c.priced, Duplicates: c.duplicates, Accounts: c.accounts, Different: c.different, Unbilled: c.unbilled, Closed: c.closed,
	}
	for i := range out.AsOf.Positions {
		if at, tried := c.from[out.AsOf.Positions[i].Partition]; tried {
			out.AsOf.Positions[i].Sequence = at
		}
	}
	for _, one := range c.refused {
		out.Refused = append(out.Refused, *one)
	}
	slices.SortFunc(out.Refused, func(a, b query.BackfillRefusal) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), strings.Compare(a.Reason, b.Reason))
	})
	for _, currency := range slices.Sorted(maps.Keys(c.totals)) {
		s := c.totals[currency]
		by, err := s.new.Sub(s.old)
		if err != nil {
			return query.BackfillReport{}, err
		}
		out.Totals = append(out.Totals, query.BackfillTotal{
			Currency: currency, Old: s.old.Fixed(s.decimals), New: s.new.Fixed(s.decimals), Difference: by.Fixed(s.decimals), DifferentAmount: by,
		})
	}
	return out, nil
}
