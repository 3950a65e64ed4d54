package accumulate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Override is what has become of an event after it was priced: the log has it still,
// and whoever folds the log again leaves it out, or takes what it was amended to.
type Override struct {
	Voided    bool  `json:"voided,omitempty"`     // it was voided
	TakenBack bool  `json:"taken_back,omitempty"` // it was refused when it was folded again, and is a dead letter
	Amended   Place `json:"amended,omitzero"`     // where the event stands that has amended it last
}

// Gone reports whether the event is priced no more.
func (o Override) Gone() bool { return o.Voided || o.TakenBack }

// Place is where an event stands in the log.
type Place struct {
	Position uint64 `json:"position"` // stream sequence of the message that carries it, from 1
	Index    int    `json:"index"`    // of the event in that message, from 0
}

// Override returns what has become of the event with an identity. It is for the owner.
func (s *State) Override(identity [16]byte) Override { return s.overrides[identity] }

// SetOverride keeps what has become of an event; the zero Override forgets it.
func (s *State) SetOverride(identity [16]byte, o Override) error {
	if o == s.overrides[identity] {
		return nil
	}
	var value []byte
	if o == (Override{}) {
		delete(s.overrides, identity)
	} else {
		var err error
		if value, err = json.Marshal(o); err != nil {
			return fmt.Errorf("accumulate: override: %w", err)
		}
		s.overrides[identity] = o
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filling.others = append(s.filling.others, otherEntry{TableOverrides, tableEntry{identity[:], value}})
	return nil
}

// Overridden lists the identities of events that have an Override, in order. It is for
// the owner.
func (s *State) Overridden() [][16]byte {
	return slices.SortedFunc(maps.Keys(s.overrides), func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
}

// loadOverride takes an entry of the table of overrides.
func (l *Loader) loadOverride(key, value []byte) error {
	var o Override
	if err := json.Unmarshal(value, &o); err != nil || len(key) != 16 {
		return fmt.Errorf("%w: override %x: %w", errRecord, key, err)
	}
	l.state.overrides[[16]byte(key)] = o
	return nil
}
