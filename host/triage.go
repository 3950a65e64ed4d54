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
	kind           fateKind
	rated          int    // fateRate and fateRepeat: index into triage.rate
	reason, detail string // fateRefused
}

type fateKind uint8

const (
	fateRate      fateKind = iota // is rated
	fateRepeat                    // repeats the identity of an event that is rated
	fateDuplicate                 // was priced before
	fateRefused                   // a dead letter
)

// triage says of each of the first pending events what becomes of it.
type triage struct {
	fates []fate
	rate  []rate.Event
}

// triage sorts the first n pending events.
func (p *partition) triage(d *accumulate.Delta, n int) *triage {
	t := &triage{fates: make([]fate, n), rate: make([]rate.Event, 0, n)}
	first := make(map[ingest.Hash]int, n) // identity → index in t.rate
	for i := range t.fates {
		e, f := &p.pending.events[i], &t.fates[i]
		if e.Problem != nil {
			*f = fate{kind: fateRefused, reason: e.Problem.Reason, detail: e.Problem.Detail}
			continue
		}
		if of := billing.Partition(billing.AccountID(e.Account), p.host.config.Partitions); of != p.number {
			*f = fate{kind: fateRefused, reason: ReasonWrongPartition, detail: fmt.Sprintf(
				"subject: account %q belongs to partition %d of %d; publish to usage.in.<token> or through the Ingest call, which choose the partition", e.Account, of, p.host.config.Partitions)}
			continue
		}
		if seen, ok := d.Seen(e.Identity); ok {
			*f = sameOrConflict(e, seen.Content)
			continue
		}
		if at, ok := first[e.Identity]; ok {
			*f = fate{kind: fateRepeat, rated: at}
			continue
		}
		first[e.Identity] = len(t.rate)
		*f = fate{kind: fateRate, rated: len(t.rate)}
		t.rate = append(t.rate, *e)
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
