package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
)

// A void is an event of its own that takes another one out: the account's period is
// folded again from the log without it, so that it is exact whatever the tariff makes
// of usage. In a period that is closed the next invoice adjusts the difference. It
// counts as read and priced, as usage does, and the event that it voids stays counted
// as priced; a void of what is voided already counts as a duplicate.

// TypeVoid is the type of events that void another one: the one that their data name
// by source and id, of the same account.
const TypeVoid = "tollway.usage.void"

// Reasons for which a void is a dead letter.
const (
	ReasonUnknownEvent  = "unknown_event"  // no event of this source and id was priced for the account
	ReasonBadCorrection = "bad_correction" // the void does not name an event
)

// isCorrection reports whether an event corrects another one and is no usage itself.
func isCorrection(e *ingest.Event) bool {
	return len(e.Type) == len(TypeVoid) && e.Type == TypeVoid && e.Problem == nil
}

// firstCorrection returns the index of the first of n events that is a correction,
// or n.
func (q *pending) firstCorrection(n int) int {
	for i := range q.events[:n] {
		if isCorrection(&q.events[i]) {
			return i
		}
	}
	return n
}

// correct settles the first pending event, which is a correction: all before it has
// been folded.
func (p *partition) correct(ctx context.Context) error {
	t, err := p.triage(1)
	if err != nil {
		return fmt.Errorf("host: partition %d: %w", p.number, err)
	}
	var out rate.Outcome
	if t.fates[0].kind == fateRate {
		why, repeated, err := p.void(ctx, &p.pending.events[0], p.pending.carrier(0).position)
		switch {
		case err != nil:
			return fmt.Errorf("host: partition %d: %w", p.number, err)
		case why != nil:
			out.Rejected = []rate.Rejection{{Reason: why.reason, Detail: why.detail}}
		case repeated:
			t.fates[0].kind = fateDuplicate
		}
	}
	if err := p.record(t, out); err != nil {
		return err
	}
	t.end()
	return nil
}

// void takes out the event that a void names. It returns why that cannot be done, or
// whether it had been done before.
func (p *partition) void(ctx context.Context, e *ingest.Event, position uint64) (why *refusal, repeated bool, err error) {
	var source, id string
	for _, f := range e.Data {
		switch f.Key {
		case "source":
			source = f.Text
		case "id":
			id = f.Text
		}
	}
	if source == "" || id == "" {
		return &refusal{ReasonBadCorrection, "data: a void names the event by source and id"}, false, nil
	}
	if p.catalog == nil {
		return &refusal{rate.ReasonNoCatalog, "no catalog had been applied when the void was read; apply one and replay it"}, false, nil
	}
	unknown := &refusal{ReasonUnknownEvent, fmt.Sprintf("no event with source %q and id %q was priced for this account before; replay the void when it has come", source, id)}
	identity := ingest.NewDecoder(p.host.seed).IdentityOf(source, id, e.Account)
	was := p.state.Override(identity)
	if was.Voided {
		return nil, true, nil
	}
	seen, known, err := p.seen.Find(identity)
	if err != nil || !known || was.TakenBack {
		return unknown, false, err
	}
	at, ok, err := p.timeOf(ctx, identity, seen.Position)
	if err != nil || !ok {
		return unknown, false, err
	}
	g := p.periodOf(strings.Clone(e.Account), at)
	closed := at < p.state.Now().ClosedUntil(g.calendar)
	if closed && p.beyondRetention(g) {
		return &refusal{ReasonBeyondRetention, fmt.Sprintf("data: the event lies in a billing period that was closed more than %d months ago", retentionMonths)}, false, nil
	}
	if err := p.state.SetOverride(identity, accumulate.Override{Voided: true}); err != nil {
		return nil, false, err
	}
	if closed && !p.state.IsParked(g.account, g.period.Start.UnixNano()) {
		r, _ := p.state.ReopenedOf(g.account, g.period.Start.UnixNano())
		cause := accumulate.Cause{Kind: accumulate.CauseVoid, Source: strings.Clone(source), ID: strings.Clone(id), Position: position, Index: e.Index}
		if err := p.reopen(ctx, []again{g}, []accumulate.Cause{cause}, position, nil); err != nil || !r.Open {
			return nil, false, err
		}
	}
	return nil, false, p.foldAgain(ctx, map[string]bool{g.account: true}, g.calendar, g.period, nil, position, nil)
}

// timeOf returns the time of the event that was priced from a message, unix ns, false
// when it is no usage or the log does not have it.
func (p *partition) timeOf(ctx context.Context, identity ingest.Hash, position uint64) (int64, bool, error) {
	decoder := ingest.NewDecoder(p.host.seed)
	find := func(position uint64) (int64, bool, error) {
		events, _, err := p.carried(ctx, decoder, position)
		i := slices.IndexFunc(events, func(e ingest.Event) bool { return e.Problem == nil && e.Identity == identity && !isCorrection(&e) })
		if err != nil || i < 0 {
			return 0, false, err
		}
		return events[i].Time, true, nil
	}
	m, err := p.host.conn.Get(ctx, stream.Usage(p.number), position)
	for err != nil && !errors.Is(err, stream.ErrNotFound) && ctx.Err() == nil {
		p.host.log.Warn("a voided event cannot be read, trying again", "partition", p.number, "position", position, "error", err)
		if err := p.pause(ctx, refoldPause); err != nil {
			return 0, false, err
		}
		m, err = p.host.conn.Get(ctx, stream.Usage(p.number), position)
	}
	if errors.Is(err, stream.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if !strings.HasPrefix(m.Subject, p.controlPrefix()+"letters.") {
		return find(position)
	}
	var o letterOrder // it was a dead letter, and priced when it was replayed
	if err := json.Unmarshal(m.Data, &o); err != nil {
		return 0, false, p.badControl(*m, err)
	}
	for _, ref := range o.Letters {
		if at, ok, err := find(ref.Position); ok || err != nil {
			return at, ok, err
		}
	}
	return 0, false, nil
}
