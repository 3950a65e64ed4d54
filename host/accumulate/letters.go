package accumulate

import (
	"encoding/json"
	"fmt"
)

// Verdict is what a replay made of a dead letter, or that it was discarded. A
// dead letter can have several: it is settled by the first that is not
// OutcomeRefused.
type Verdict struct {
	Letter  uint64 `json:"letter"`  // number of the dead letter, from 1
	Outcome string `json:"outcome"` // one of those below
	// Reason and Detail are why the event was refused again, or Detail why somebody
	// discarded it.
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Position is the stream sequence of the control message that asked for it, By
	// and At who did and when, RFC 3339. Both are for people only.
	Position uint64 `json:"position"`
	By       string `json:"by,omitempty"`
	At       string `json:"at,omitempty"`
}

// Outcomes of verdicts. They are stable.
const (
	OutcomePriced    = "priced"    // the event was priced
	OutcomeDuplicate = "duplicate" // it had been priced in the meantime
	OutcomeRefused   = "refused"   // it is a dead letter still
	OutcomeDiscarded = "discarded" // somebody decided that it will not be priced
)

// Settles reports whether nothing more is to become of the dead letter.
func (v *Verdict) Settles() bool { return v.Outcome != OutcomeRefused }

// letters is what the owner of a state knows of its dead letters.
type letters struct {
	last    uint64              // number of the last one, 0 for none
	settled map[uint64]struct{} // numbers of those that have a settling verdict
}

// AddVerdict keeps a verdict on a dead letter that is not settled.
func (s *State) AddVerdict(v Verdict) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("accumulate: verdict on dead letter %d: %w", v.Letter, err)
	}
	s.filling.verdicts = append(s.filling.verdicts, b)
	s.letters.take(&v)
	return nil
}

func (l *letters) take(v *Verdict) {
	if !v.Settles() {
		return
	}
	if l.settled == nil {
		l.settled = map[uint64]struct{}{}
	}
	l.settled[v.Letter] = struct{}{}
}

// LetterOpen reports whether there is a dead letter of this number that no
// verdict settles.
func (s *State) LetterOpen(number uint64) bool {
	_, settled := s.letters.settled[number]
	return number > 0 && number <= s.letters.last && !settled
}

// Letter returns a dead letter that the state has and no durable checkpoint does
// yet, nil for any other.
func (s *State) Letter(number uint64) []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	end := s.letters.last
	for _, g := range []*Generation{s.filling, s.flying} {
		if g == nil {
			continue
		}
		first := end - uint64(len(g.deadLetters)) + 1
		if number >= first && number <= end {
			return g.deadLetters[number-first]
		}
		end = first - 1
	}
	return nil
}

// DeadLetters takes the number of the last dead letter of the checkpoint.
func (l *Loader) DeadLetters(last uint64) { l.state.letters.last = last }

// Verdict takes an entry of the log of verdicts.
func (l *Loader) Verdict(entry []byte) error {
	var v Verdict
	if err := json.Unmarshal(entry, &v); err != nil {
		return fmt.Errorf("%w: verdict: %w", errRecord, err)
	}
	l.state.letters.take(&v)
	return nil
}
