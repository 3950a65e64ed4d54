package host

import (
	"bytes"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// Reasons for which the host dead-letters an event before it is rated.
const (
	ReasonWrongPartition   = "wrong_partition"   // the account belongs to another partition
	ReasonIdentityConflict = "identity_conflict" // source and id of an event that was priced with other content
)

// fate is what becomes of a pending event.
type fate struct {
	kind fateKind
	at   int32 // fateRate and fateRepeat: index into triage.rate; fateRefused: into triage.refused
}

type fateKind uint8

const (
	fateRate      fateKind = iota // is rated
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
	rate    []rate.Event // the pending events themselves, where all are rated
	copied  []rate.Event // memory of rate, where some are not
	first   map[ingest.Hash]int32
}

// triage sorts the first n pending events. What is to be rated counts as priced
// from here on; record takes the rejected ones back.
func (p *partition) triage(d *accumulate.Delta, n int) *triage {
	t := &p.sorted
	t.begin(n)
	from := p.pending.carrier(0).position
	for i := range n {
		e := &p.pending.events[i]
		if e.Problem != nil {
			t.refuse(p.pending.events, i, e.Problem.Reason, e.Problem.Detail)
			continue
		}
		if of := billing.Partition(billing.AccountID(e.Account), p.host.config.Partitions); of != p.number {
			t.refuse(p.pending.events, i, ReasonWrongPartition, fmt.Sprintf(
				"subject: account %q belongs to partition %d of %d; publish to usage.in.<token> or through the Ingest call, which choose the partition", e.Account, of, p.host.config.Partitions))
			continue
		}
		seen, known := d.Seen(e.Identity)
		if !known {
			d.Remember(e.Identity, accumulate.Seen{Content: e.Content, Position: p.pending.carrier(i).position})
			t.take(p.pending.events, i)
			continue
		}
		if seen.Position >= from { // remembered by this triage, or by the one before
			if at, ok := t.find(e.Identity); ok {
				t.part(p.pending.events, i)
				t.fates[i] = fate{kind: fateRepeat, at: at}
				continue
			}
		}
		if e.Content == seen.Content {
			t.part(p.pending.events, i)
			t.fates[i] = fate{kind: fateDuplicate}
			continue
		}
		t.refuse(p.pending.events, i, ReasonIdentityConflict, conflict(e))
	}
	return t
}

// sameOrConflict tells a repeated event from one that only has its identity.
// The text does not say where the first one was: it must not hang on how the
// log was read or divided.
func sameOrConflict(e *ingest.Event, content ingest.Hash) fate {
	if e.Content == content {
		return fate{kind: fateDuplicate}
	}
	return fate{kind: fateRefused, reason: ReasonIdentityConflict, detail: fmt.Sprintf(
		"id: source %q has sent id %q before with other content; give each event an id of its own", e.Source, e.ID)}
}

// repeatsRejected reports whether an event that is repeated in the batch was
// not priced.
func (t *triage) repeatsRejected(out rate.Outcome) bool {
	if len(out.Rejected) == 0 {
		return false
	}
	rejected := make(map[int]struct{}, len(out.Rejected))
	for _, r := range out.Rejected {
		rejected[r.Event] = struct{}{}
	}
	for _, f := range t.fates {
		if f.kind == fateRepeat {
			if _, no := rejected[f.rated]; no {
				return true
			}
		}
	}
	return false
}

// record puts the outcome of a batch into the delta: slots, identities, dead
// letters and the counters that must balance.
func (p *partition) record(d *accumulate.Delta, t *triage, out rate.Outcome) error {
	rejected := make(map[int]rate.Rejection, len(out.Rejected))
	for _, r := range out.Rejected {
		rejected[r.Event] = r
	}
	for i, f := range t.fates {
		e := &p.pending.events[i]
		switch f.kind {
		case fateRate:
			if r, no := rejected[f.rated]; no {
				f = fate{kind: fateRefused, reason: r.Reason, detail: r.Detail}
			}
		case fateRepeat:
			f = sameOrConflict(e, t.rate[f.rated].Content)
		case fateDuplicate, fateRefused:
		}
		d.Header.Counters.Read++
		switch f.kind {
		case fateDuplicate:
			d.Header.Counters.Duplicates++
		case fateRefused:
			d.Header.Counters.DeadLettered++
			if err := d.AddDeadLetter(p.deadLetter(i, f)); err != nil {
				return err
			}
		case fateRate, fateRepeat: // fateRepeat has become one of the above
			d.Header.Counters.Priced++
			d.Remember(e.Identity, accumulate.Seen{Content: e.Content, Position: p.pending.positions[i]})
			d.SawTime(e.Time)
		}
	}
	for _, s := range out.Slots {
		if err := d.Put(s); err != nil {
			return err
		}
	}
	return nil
}

// deadLetter makes the record of a pending event that was refused.
func (p *partition) deadLetter(i int, f fate) accumulate.DeadLetter {
	e := &p.pending.events[i]
	l := accumulate.DeadLetter{
		Position: p.pending.positions[i], Index: e.Index,
		Source: e.Source, ID: e.ID, Type: e.Type, Account: e.Account,
		Reason: f.reason, Detail: f.detail,
	}
	if e.Problem == nil {
		l.Time = time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano)
		l.Event = ingest.FormatJSON(e.Usage())
		return l
	}
	// A message's bytes are kept once, with the first of its elements that is bad:
	// kept with each, a small message would become a large state.
	body := p.pending.bodies[i]
	l.Truncated = len(body) > rawBytesMax || body == nil
	l.Raw = bytes.Clone(body[:min(len(body), rawBytesMax)])
	for _, text := range []*string{&l.Source, &l.ID, &l.Type, &l.Account} {
		if !utf8.ValidString(*text) {
			*text = ""
		}
	}
	return l
}
