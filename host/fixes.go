package host

import (
	"strings"

	"github.com/tollway/tollway/host/ingest"
)

// fixes is what corrections have made of events, by the identity of the event that was
// corrected: for those who fold the log beside a partition, and cannot ask its state.
// Corrections that are dead letters must not be put in.
type fixes map[ingest.Hash]fixed

// fixed is what the last correction of an event says.
type fixed struct {
	voided bool
	to     fix         // what it was amended to
	at     letterPlace // where the correction stands
}

// put notes a correction that the log has at a position. It returns the identity of the
// event that is corrected, and whether that is something else now than it was: a void is
// final, and of amendments the last in the log holds.
func (x fixes) put(decoder *ingest.Decoder, e *ingest.Event, position uint64) (of ingest.Hash, changed bool) {
	f, why := fixOf(e)
	if why != nil {
		return of, false
	}
	of = decoder.IdentityOf(f.source, f.id, e.Account)
	at := letterPlace{position, e.Index}
	if was, known := x[of]; known && (was.voided || !was.at.before(at)) {
		return of, false
	}
	// What the decoder has given out does not last.
	x[of] = fixed{voided: e.Type == TypeVoid, to: fix{data: strings.Clone(f.data), at: strings.Clone(f.at)}, at: at}
	return of, true
}

// apply has an event say what it was amended to, or reports that it was voided. An
// amendment that makes no event of it leaves it as it was.
func (x fixes) apply(decoder *ingest.Decoder, e *ingest.Event) (voided bool) {
	f, known := x[e.Identity]
	if !known || f.voided {
		return known
	}
	if next, problem := f.to.amended(decoder, e); problem == nil {
		*e = next
	}
	return false
}

func (p letterPlace) before(other letterPlace) bool {
	return p.position < other.position || p.position == other.position && p.index < other.index
}
