package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/identity"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
)

// A void is an event of its own that takes another one out, and an amendment one that
// says what another one should have said: the account's period is folded again from the
// log without it, or with what it was amended to in its place, so that it is exact
// whatever the tariff makes of usage. In a period that is closed the next invoice
// adjusts the difference. Both count as read and priced, as usage does, and the event
// that they correct stays counted as priced; one that changes nothing any more counts
// as a duplicate.

// Types of events that correct another one: the one that their data name by source and
// id, of the same account.
const (
	TypeVoid  = "tollway.usage.void"
	TypeAmend = "tollway.usage.amend" // data.data and data.time say what it should have said
)

// Reasons for which a correction is a dead letter.
const (
	ReasonUnknownEvent  = "unknown_event"  // no event of this source and id was priced for the account
	ReasonBadCorrection = "bad_correction" // it does not name an event, or not what the event should have said
	ReasonVoided        = "voided"         // the event that is amended was voided
)

// isCorrection reports whether an event corrects another one and is no usage itself.
func isCorrection(e *ingest.Event) bool {
	switch len(e.Type) {
	case len(TypeVoid):
		return e.Type == TypeVoid && e.Problem == nil
	case len(TypeAmend):
		return e.Type == TypeAmend && e.Problem == nil
	}
	return false
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

// fix is a correction with what it corrects.
type fix struct {
	event      *ingest.Event // the correction itself
	carried    uint64        // position of the message that carries it
	position   uint64        // of the message that has it be made now: the same, or a replay of it
	source, id string        // of the event that is corrected
	data, at   string        // what it should have said, as JSON and RFC 3339; "" as it did
}

// fixOf reads a correction.
func fixOf(e *ingest.Event) (*fix, *refusal) {
	f := &fix{event: e}
	for _, d := range e.Data {
		switch d.Key {
		case "source":
			f.source = d.Text
		case "id":
			f.id = d.Text
		case "data":
			f.data = d.Text
		case "time":
			f.at = d.Text
		}
	}
	switch {
	case f.source == "" || f.id == "":
		return nil, &refusal{ReasonBadCorrection, "data: a correction names the event by source and id"}
	case e.Type == TypeAmend && f.data == "" && f.at == "":
		return nil, &refusal{ReasonBadCorrection, "data: an amendment says what the event should have said, in data, time or both"}
	}
	return f, nil
}

// correct settles the first pending event, which is a correction: all before it has
// been folded.
func (p *partition) correct(ctx context.Context) error {
	failpoint.Hit("void.read")
	t, err := p.triage(1)
	if err != nil {
		return fmt.Errorf("host: partition %d: %w", p.number, err)
	}
	var out rate.Outcome
	if t.fates[0].kind == fateRate {
		carried := p.pending.carrier(0).position
		if r := p.pending.replay; r != nil {
			carried = r.places[0]
		}
		why, repeated, err := p.makeFix(ctx, &p.pending.events[0], carried, p.pending.carrier(0).position)
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
	if err := p.alertOnCorrection(); err != nil {
		return err
	}
	t.end()
	return nil
}

// makeFix makes a correction. It returns why that cannot be done, or whether it changes
// nothing.
func (p *partition) makeFix(ctx context.Context, e *ingest.Event, carried, position uint64) (why *refusal, repeated bool, err error) {
	f, why := fixOf(e)
	if why != nil {
		return why, false, nil
	}
	f.carried, f.position = carried, position
	if p.catalog == nil {
		return &refusal{rate.ReasonNoCatalog, "no catalog had been applied when the correction was read; apply one and replay it"}, false, nil
	}
	unknown := &refusal{ReasonUnknownEvent, fmt.Sprintf("no event with source %q and id %q was priced for this account before; replay the correction when it has come", f.source, f.id)}
	id := ingest.NewDecoder(p.host.seed).IdentityOf(f.source, f.id, e.Account)
	was := p.state.Override(id)
	switch {
	case was.Voided && e.Type == TypeVoid:
		return nil, true, nil
	case was.Voided:
		return &refusal{ReasonVoided, "data: the event was voided, which is final; send what should be billed as an event with an id of its own"}, false, nil
	}
	seen, known, err := p.priced(ctx, id)
	if err != nil || !known || was.TakenBack {
		return unknown, false, err
	}
	of, ok, err := p.eventAt(ctx, id, seen)
	if err != nil || !ok {
		return unknown, false, err
	}
	priced, err := p.catalogAt(ctx, e.Account, of.Time, seen.Position)
	if err != nil {
		return nil, false, err
	}
	calendar := priced.Calendar(of.Usage().Account)
	g := again{strings.Clone(e.Account), rate.CalendarName(calendar), calendar.PeriodOf(time.Unix(0, of.Time))}
	if of.Time < p.state.Now().ClosedUntil(g.calendar) && p.beyondRetention(g) {
		return &refusal{ReasonBeyondRetention, fmt.Sprintf("data: the event lies in a billing period that was closed more than %d months ago", retentionMonths)}, false, nil
	}
	next := accumulate.Override{Voided: true}
	if e.Type == TypeAmend {
		why, repeated, err := p.mayAmend(ctx, f, &of, priced, g)
		if err != nil || why != nil || repeated {
			return why, repeated, err
		}
		next = accumulate.Override{Amended: accumulate.Place{Position: f.carried, Index: e.Index}}
	}
	if err := p.state.SetOverride(id, next); err != nil {
		return nil, false, err
	}
	return nil, false, p.foldFixed(ctx, f, g)
}

// foldFixed folds the period again of an event that was corrected.
func (p *partition) foldFixed(ctx context.Context, f *fix, g again) error {
	start := g.period.Start.UnixNano()
	if start < p.state.Now().ClosedUntil(g.calendar) && !p.state.IsParked(g.account, start) {
		r, _ := p.state.ReopenedOf(g.account, start)
		cause := accumulate.Cause{Kind: accumulate.CauseVoid, Source: strings.Clone(f.source), ID: strings.Clone(f.id), Position: f.position, Index: f.event.Index}
		if f.event.Type == TypeAmend {
			cause.Kind = accumulate.CauseAmend
		}
		if err := p.reopen(ctx, []again{g}, []accumulate.Cause{cause}, f.position, nil); err != nil || !r.Open {
			return err
		}
	}
	return p.foldAgain(ctx, map[string]bool{g.account: true}, g.calendar, g.period, nil, f.position, nil)
}

// mayAmend reports why an event, as it stands in the log, cannot be amended, or whether
// the amendment changes nothing of what is priced.
func (p *partition) mayAmend(ctx context.Context, f *fix, of *ingest.Event, priced *catalog.Catalog, g again) (why *refusal, repeated bool, err error) {
	decoder := ingest.NewDecoder(p.host.seed)
	now := *of
	if err := p.amend(ctx, decoder, &now); err != nil {
		return nil, false, err
	}
	next, problem := f.amended(decoder, of)
	switch {
	case problem != nil:
		return &refusal{ReasonBadCorrection, "data: as amended the event is none: " + problem.Detail}, false, nil
	case next.Time < g.period.Start.UnixNano() || next.Time >= g.period.End.UnixNano():
		return &refusal{ReasonBadCorrection, fmt.Sprintf("data.time: %s lies outside of the event's billing period %s; void it, and send it with an id of its own",
			time.Unix(0, next.Time).UTC().Format(time.RFC3339Nano), g.period.ID())}, false, nil
	case next.Time == now.Time && slices.Equal(next.Data, now.Data):
		return nil, true, nil
	}
	// What no tariff takes must not take the place of what one has taken. That is asked
	// of a book with nothing in it, in which nothing is written.
	book := openBook{State: accumulate.NewState(), calendar: g.calendar, until: rate.Beginning}
	if priced != p.catalog {
		p.rater.SetCatalog(priced)
		defer p.rater.SetCatalog(p.catalog)
	}
	out, err := p.rater.Rate(ctx, book, []rate.Event{next})
	if err != nil {
		return nil, false, err
	}
	if len(out.Rejected) > 0 {
		return &refusal{out.Rejected[0].Reason, out.Rejected[0].Detail}, false, nil
	}
	return nil, false, nil
}

// amended returns an event as an amendment has it: with other data, another time or
// both. It stays the same event.
func (f *fix) amended(decoder *ingest.Decoder, of *ingest.Event) (ingest.Event, *ingest.Problem) {
	u := of.Usage()
	body := struct {
		Specversion string          `json:"specversion"`
		Source      string          `json:"source"`
		ID          string          `json:"id"`
		Type        string          `json:"type"`
		Subject     string          `json:"subject"`
		Time        string          `json:"time"`
		Data        json.RawMessage `json:"data,omitempty"`
	}{"1.0", u.Source, u.ID, u.Type, string(u.Account), f.at, json.RawMessage(f.data)}
	if f.at == "" {
		body.Time = u.Time.Format(time.RFC3339Nano)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return ingest.Event{}, &ingest.Problem{Reason: ReasonBadCorrection, Detail: "must be a JSON object: " + err.Error()}
	}
	header := func(name string) string {
		if strings.EqualFold(name, "content-type") {
			return ingest.ContentTypeEvent
		}
		return ""
	}
	read := decoder.Decode(header, text, nil)[0]
	if read.Problem != nil {
		return ingest.Event{}, read.Problem
	}
	next := *of
	next.Time = read.Time
	if f.data != "" {
		next.Data = read.Data
	}
	return next, nil
}

// amend has an event of the log say what it was amended to, if it was. What it said
// before decides still whether another one is the same.
func (p *partition) amend(ctx context.Context, decoder *ingest.Decoder, e *ingest.Event) error {
	place := p.state.Override(e.Identity).Amended
	if place == (accumulate.Place{}) {
		return nil
	}
	events, _, err := p.carried(ctx, decoder, place.Position)
	if err != nil {
		return err
	}
	gone := fmt.Errorf("host: partition %d: the amendment at position %d, event %d, is not in the log any more", p.number, place.Position, place.Index)
	i := slices.IndexFunc(events, func(e ingest.Event) bool { return e.Index == place.Index })
	if i < 0 {
		return gone
	}
	f, why := fixOf(&events[i])
	if why != nil {
		return gone
	}
	next, problem := f.amended(decoder, e)
	if problem != nil {
		return gone
	}
	*e = next
	return nil
}

// eventAt returns the event that was priced, by what is remembered of it; false when it
// is no usage or the log does not have it. The same message, or the same replay, may have
// had another one of this identity, which was refused.
func (p *partition) eventAt(ctx context.Context, id ingest.Hash, seen identity.Seen) (ingest.Event, bool, error) {
	decoder, position := ingest.NewDecoder(p.host.seed), seen.Position
	find := func(position uint64) (ingest.Event, bool, error) {
		events, _, err := p.carried(ctx, decoder, position)
		i := slices.IndexFunc(events, func(e ingest.Event) bool {
			return e.Problem == nil && e.Identity == id && e.Content == seen.Content && !isCorrection(&e)
		})
		if err != nil || i < 0 {
			return ingest.Event{}, false, err
		}
		return events[i], true, nil
	}
	m, err := p.conn().Get(ctx, stream.Usage(p.number), position)
	for err != nil && !errors.Is(err, stream.ErrNotFound) && ctx.Err() == nil {
		p.log().Warn("a corrected event cannot be read, trying again", "partition", p.number, "position", position, "error", err)
		if err := p.pause(ctx, readPause); err != nil {
			return ingest.Event{}, false, err
		}
		m, err = p.conn().Get(ctx, stream.Usage(p.number), position)
	}
	if errors.Is(err, stream.ErrNotFound) {
		return ingest.Event{}, false, nil
	}
	if err != nil {
		return ingest.Event{}, false, err
	}
	if !strings.HasPrefix(m.Subject, p.controlPrefix()+"letters.") {
		return find(position)
	}
	var o letterOrder // it was a dead letter, and priced when it was replayed
	if err := json.Unmarshal(m.Data, &o); err != nil {
		return ingest.Event{}, false, p.badControl(*m, err)
	}
	for _, ref := range o.Letters {
		if e, ok, err := find(ref.Position); ok || err != nil {
			return e, ok, err
		}
	}
	return ingest.Event{}, false, nil
}
