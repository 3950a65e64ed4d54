package query

import (
	"sync"
	"sync/atomic"

	"github.com/tollway/tollway/sdk/billing"
)

// audience are those that watch the same account. What a checkpoint has changed there
// is read from the state and written down once, however many they are: a thousand that
// watch a busy account would otherwise cost a thousand times as much.
type audience struct {
	members map[*Watcher]struct{} // the engine's lock guards them
	several atomic.Bool           // there is more than one

	mu         sync.Mutex
	generation uint32 // that answers are of
	answers    map[asked]*Subtotals
}

// asked is what answers differ by.
type asked struct {
	filter Filter
	since  uint32 // generation that was shown before
}

// answersMax is how many answers of a generation are kept: watches that rest for long
// have seen other ones before.
const answersMax = 16

// changes returns what has changed of the filter's account since generations.
func (a *audience) changes(e *Engine, f Filter, since []uint32) (Subtotals, error) {
	if !a.several.Load() {
		return e.account(f, since)
	}
	a.mu.Lock() // the others wait for the one that makes the answer
	defer a.mu.Unlock()
	p := billing.Partition(f.Account, len(e.partitions))
	if now := e.partitions[p].State.Generation(); now != a.generation || a.answers == nil {
		// What is read from here on is of this generation at least.
		a.generation, a.answers = now, map[asked]*Subtotals{}
	}
	question := asked{f, since[p]}
	if known := a.answers[question]; known != nil {
		return *known, nil
	}
	answer, err := e.account(f, since)
	if err != nil {
		return Subtotals{}, err
	}
	answer.shared = &form{}
	if len(a.answers) < answersMax {
		a.answers[question] = &answer
	}
	return answer, nil
}

// Encoding names what an answer is written as.
type Encoding uint8

// The encodings of which an answer that several have is written once.
const (
	EncodingBinary Encoding = iota
	EncodingJSON
	encodings // how many there are
)

// form is what an answer was made into for those that are to have it.
type form [encodings]struct {
	once  sync.Once
	bytes []byte
}

// Encoded returns what encode makes of the answer, which of an answer that several
// have is made once. Nobody may change it. All callers must pass the same function for
// an encoding.
func (q *Subtotals) Encoded(as Encoding, encode func(*Subtotals) []byte) []byte {
	if q.shared == nil {
		return encode(q)
	}
	f := &q.shared[as]
	f.once.Do(func() { f.bytes = encode(q) })
	return f.bytes
}
