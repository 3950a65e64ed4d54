package host

import (
	"bytes"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/identity"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
)

// Reasons for which the host dead-letters an event before it is rated.
const (
	ReasonWrongPartition   = "wrong_partition"   // the account belongs to another partition
	ReasonIdentityConflict = "identity_conflict" // source and id of an event that was priced with other content
	ReasonTooFarAhead      = "too_far_ahead"     // its time lies further behind that of its message than the catalog's max_ahead
)

// fate is what becomes of a pending event.
type fate struct {
	kind fateKind
	at   int32 // fateRepeat: index of the event that it repeats; fateRefused: into triage.refused
}

type fateKind uint8

const (
	fateRate      fateKind = iota // is rated
	fateBack                      // is rated, and its identity is known: it was priced and taken back
	fateRepeat                    // repeats the identity of an event that is rated
	fateDuplicate                 // was priced before
	fateRefused                   // a dead letter
)

// refusal says why an event is a dead letter.
type refusal struct{ reason, detail string }

// triage says of each of the first pending events what becomes of it. Its memory
// is used again and again.
type triage struct {
	fates   []fate
	refused []refusal
	events  []rate.Event          // the pending events that are sorted
	left    []int32               // of them, those that are not rated, in order
	first   map[ingest.Hash]int32 // identity → event, of those to be rated among the first indexed
	indexed int
}

// triage sorts the first n pending events. What is to be rated counts as priced
// from here on; record takes the rejected ones back.
func (p *partition) triage(n int) (*triage, error) {
	t := &p.sorted
	t.begin(n)
	t.events = p.pending.events[:n]
	from := p.pending.carrier(0).position
	ahead, horizon := p.aheadMax(), p.state.Now().Horizon
	for i := -foreseeEvents; i < n; i++ {
		p.foresee(t.events, i)
		if i < 0 {
			continue
		}
		e := &t.events[i]
		if e.Problem != nil {
			t.refuse(i, refusal{e.Problem.Reason, e.Problem.Detail})
			continue
		}
		if of := int(e.AccountHash % uint32(p.host.config.Partitions)); of != p.number {
			t.refuse(i, refusal{ReasonWrongPartition, fmt.Sprintf(
				"subject: account %q belongs to partition %d of %d; publish to usage.in.<token> or through the Ingest call, which choose the partition", e.Account, of, p.host.config.Partitions)})
			continue
		}
		if at := p.pending.carrier(i).at; ahead < int64(catalog.AnyTimeAhead) && e.Time-ahead > at {
			t.refuse(i, tooFarAhead(e, at, ahead))
			continue
		}
		until := keptUntil(e.Time)
		if until < horizon {
			t.refuse(i, tooOld(e)) // nobody knows whether it was priced
			continue
		}
		seen, err := p.seen.Add(&e.Identity, &e.Content, p.pending.carrier(i).position, until)
		if err != nil {
			return nil, err
		}
		if seen == nil {
			t.take(i)
			continue
		}
		if r := p.pending.replay; r != nil && r.back[r.letters[i]] && e.Content == seen.Content {
			t.fates[i] = fate{kind: fateBack}
			continue
		}
		if seen.Position >= from { // remembered by this triage, or by the one before
			if at, ok := t.find(e.Identity, i); ok {
				t.leave(i, fate{kind: fateRepeat, at: at})
				continue
			}
		}
		if e.Content != seen.Content {
			t.refuse(i, conflict(e))
			continue
		}
		t.leave(i, fate{kind: fateDuplicate})
	}
	return t, nil
}

// Events are foreseen in two steps, so many events apart: enough that what a step has
// the caches read is there for the next, and few enough that it still is.
const (
	foreseeStep   = 15
	foreseeEvents = 2 * foreseeStep
)

// foresee has the caches read, while the i-th event is at hand, what those behind it
// will need: of their identities here, of their accounts when they are rated.
func (p *partition) foresee(events []ingest.Event, i int) {
	if far := i + foreseeEvents; far < len(events) {
		e := &events[far]
		p.seen.Foresee(&e.Identity)
		p.state.ForeseePlace(e.AccountHash)
	}
	if near := i + foreseeStep; uint(near) < uint(len(events)) {
		e := &events[near]
		p.seen.Approach(&e.Identity)
		p.state.ForeseeAccount(e.AccountHash)
	}
}

// begin makes the triage ready for n events.
func (t *triage) begin(n int) {
	t.fates = slices.Grow(t.fates[:0], n)[:n]
	t.refused = t.refused[:0]
	t.left = t.left[:0]
	clear(t.first)
	t.indexed = 0
}

// end lets go of the events.
func (t *triage) end() { t.events = nil }

// take has the i-th event rated.
func (t *triage) take(i int) { t.fates[i] = fate{kind: fateRate} }

// leave gives the i-th event, which is not rated, its fate.
func (t *triage) leave(i int, f fate) {
	t.left = append(t.left, int32(i))
	t.fates[i] = f
}

// refuse makes the i-th event a dead letter.
func (t *triage) refuse(i int, why refusal) {
	t.refused = append(t.refused, why)
	t.leave(i, fate{kind: fateRefused, at: int32(len(t.refused) - 1)})
}

// find returns which of the events to be rated, before the i-th, has an identity.
func (t *triage) find(id ingest.Hash, i int) (at int32, ok bool) {
	if t.first == nil {
		t.first = map[ingest.Hash]int32{}
	}
	for ; t.indexed < i; t.indexed++ {
		if t.fates[t.indexed].kind == fateRate {
			t.first[t.events[t.indexed].Identity] = int32(t.indexed)
		}
	}
	at, ok = t.first[id]
	return at, ok
}

// forget takes all that triage has added out of the set again.
func (t *triage) forget(seen *identity.Set) {
	for i, f := range t.fates {
		if f.kind == fateRate {
			seen.Forget(t.events[i].Identity)
		}
	}
	t.end()
}

// aheadMax is how far, in ns, an event's time may lie behind that of its message. A
// catalog says so, since it decides what is billed; where usage is read from files
// the message's time says nothing.
func (p *partition) aheadMax() int64 {
	if p.catalog == nil || p.host.config.closedByCaller {
		return int64(catalog.AnyTimeAhead)
	}
	return int64(p.catalog.Billing.MaxAhead)
}

// tooFarAhead says that an event is dated too far in the future. It opens no period
// and moves no watermark: where those decide what is closed, one wrong date would
// close years.
func tooFarAhead(e *ingest.Event, at, ahead int64) refusal {
	return refusal{ReasonTooFarAhead, fmt.Sprintf(
		"time: %s lies more than %s behind %s, when the event came; mend the producer's clock, or raise billing.max_ahead in the catalog and replay it",
		time.Unix(0, e.Time).UTC().Format(time.RFC3339), time.Duration(ahead), time.Unix(0, at).UTC().Format(time.RFC3339))}
}

// conflict says that an event has the identity of another one. The text does not
// say where the first one was: it must not hang on how the log was read or
// divided.
func conflict(e *ingest.Event) refusal {
	return refusal{ReasonIdentityConflict, fmt.Sprintf(
		"id: source %q has sent id %q for this account before with other content; give each event an id of its own", e.Source, e.ID)}
}

// repeatsRejected reports whether an event that is repeated in the batch was
// not priced.
func (t *triage) repeatsRejected(out rate.Outcome) bool {
	if len(out.Rejected) == 0 {
		return false
	}
	rejected := make(map[int32]struct{}, len(out.Rejected))
	for _, r := range out.Rejected {
		rejected[int32(r.Event)] = struct{}{}
	}
	for _, f := range t.fates {
		if f.kind == fateRepeat {
			if _, no := rejected[f.at]; no {
				return true
			}
		}
	}
	return false
}

// record puts the outcome of a batch into the state: slots, identities, dead
// letters and the counters that must balance.
func (p *partition) record(t *triage, out rate.Outcome) error {
	rejected := out.Rejected // in the order of the events, as the fates are
	header := p.state.Now()
	counters := &header.Counters
	closed := header.LastClosed()
	correction := len(t.fates) == 1 && isCorrection(&p.pending.events[0]) // each is settled alone
	for i, f := range t.fates {
		e := &p.pending.events[i]
		var why *refusal
		if f.kind != fateRate || len(rejected) > 0 {
			why = p.refusalOf(t, i, &f, &rejected)
		}
		outcome := accumulate.OutcomePriced
		switch {
		case why != nil:
			outcome = accumulate.OutcomeRefused
			counters.DeadLettered++
		case f.kind == fateDuplicate:
			outcome = accumulate.OutcomeDuplicate
			counters.Duplicates++
		default:
			counters.Priced++
			if correction {
				break // its time is not that of usage
			}
			header.SawTime(e.Time)
			if e.Time < closed {
				if err := p.noteCause(accumulate.CauseLate, e, p.pending.carrier(i).position); err != nil {
					return err
				}
			}
		}
		if replay := p.pending.replay; replay != nil { // it was read before
			counters.DeadLettered--
			if err := p.state.AddVerdict(replay.verdict(i, outcome, why)); err != nil {
				return err
			}
			if outcome == accumulate.OutcomePriced && replay.back[replay.letters[i]] {
				o := p.state.Override(e.Identity)
				o.TakenBack = false
				if err := p.state.SetOverride(e.Identity, o); err != nil {
					return err
				}
			}
			continue
		}
		counters.Read++
		if why != nil {
			if err := p.state.AddDeadLetter(p.deadLetter(i, *why)); err != nil {
				return err
			}
		}
	}
	return p.state.Take(out.Changes)
}

// refusalOf returns why an event is a dead letter, nil when it is none. Of the events that
// rating has refused, those before it have been taken off; a repeat of one that was priced
// becomes a duplicate.
func (p *partition) refusalOf(t *triage, i int, f *fate, rejected *[]rate.Rejection) *refusal {
	e := &p.pending.events[i]
	switch f.kind {
	case fateRate, fateBack:
		if len(*rejected) == 0 || (*rejected)[0].Event != i {
			return nil
		}
		why := &refusal{(*rejected)[0].Reason, (*rejected)[0].Detail}
		*rejected = (*rejected)[1:]
		if f.kind == fateRate {
			p.seen.Forget(e.Identity)
		}
		return why
	case fateRefused:
		return &t.refused[f.at]
	case fateRepeat:
		if f.kind = fateDuplicate; e.Content != t.events[f.at].Content {
			other := conflict(e)
			return &other
		}
	case fateDuplicate:
	}
	return nil
}

// letterOf makes the record of an event that was refused, without the bytes of its
// message.
func letterOf(e *ingest.Event, position uint64, why refusal) accumulate.DeadLetter {
	l := accumulate.DeadLetter{
		Position: position, Index: e.Index, Source: e.Source, ID: e.ID, Type: e.Type, Account: e.Account,
		Reason: why.reason, Detail: why.detail,
	}
	if e.Problem == nil {
		l.Time = time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano)
		l.Event = ingest.FormatJSON(e.Usage())
	}
	return l
}

// deadLetter makes the record of a pending event that was refused.
func (p *partition) deadLetter(i int, why refusal) accumulate.DeadLetter {
	e := &p.pending.events[i]
	l := letterOf(e, p.pending.carrier(i).position, why)
	if e.Problem == nil {
		return l
	}
	// A message's bytes are kept once, with the first of its elements that is bad:
	// kept with each, a small message would become a large state.
	carrier := p.pending.carrier(i)
	body := carrier.body
	carrier.body = nil
	l.Truncated = len(body) > rawBytesMax || body == nil
	l.Raw = bytes.Clone(body[:min(len(body), rawBytesMax)])
	for _, text := range []*string{&l.Source, &l.ID, &l.Type, &l.Account} {
		if !utf8.ValidString(*text) {
			*text = ""
		}
	}
	return l
}
