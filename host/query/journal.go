package query

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
)

// journal remembers which accounts the last checkpoints have changed, for watches
// over all accounts: each has a place in it, whatever number of changes lies between
// that and the end. A watch that falls out of it reads what has changed from the
// state itself. It is kept while there are such watches only. The engine's lock
// guards it.
type journal struct {
	entries []journalEntry
	first   uint64 // number of the first entry
	rows    int    // accounts in all entries
}

// journalEntry is what one checkpoint of one partition has changed.
type journalEntry struct {
	partition  int
	generation uint32
	accounts   []string
}

// journalRowsMax is how many accounts the journal names: 16 bytes each.
const journalRowsMax = 1 << 18

// end is the number of the next entry.
func (j *journal) end() uint64 { return j.first + uint64(len(j.entries)) }

func (j *journal) add(e journalEntry) {
	j.entries = append(j.entries, e)
	j.rows += len(e.accounts)
	drop := 0
	for j.rows > journalRowsMax && drop < len(j.entries)-1 {
		j.rows -= len(j.entries[drop].accounts)
		drop++
	}
	if drop > 0 {
		j.entries = slices.Delete(j.entries, 0, drop) // clears what it drops
		j.first += uint64(drop)
	}
}

// clear forgets all entries; their numbers go on.
func (j *journal) clear() { *j = journal{first: j.end()} }

// place is where a watch stands in the journal: in front of an account of an entry.
type place struct {
	entry   uint64
	account int
}

// take collects accounts from a place on, each once, until there are enough of them,
// and notes in generations how far each partition has been read. ok is false when
// the place has been dropped.
func (j *journal) take(at place, most int, generations []uint32) (accounts []string, next place, ok bool) {
	if at.entry < j.first {
		return nil, at, false
	}
	seen := map[string]struct{}{}
	for ; at.entry < j.end(); at = (place{entry: at.entry + 1}) {
		e := &j.entries[at.entry-j.first]
		for ; at.account < len(e.accounts); at.account++ {
			a := e.accounts[at.account]
			if _, known := seen[a]; known {
				continue
			}
			if len(seen) == most {
				return accounts, at, true
			}
			seen[a] = struct{}{}
			accounts = append(accounts, a)
		}
		generations[e.partition] = max(generations[e.partition], e.generation)
	}
	return accounts, at, true
}

// newInstance returns a number that tells this process from any other.
func newInstance() uint64 {
	var b [8]byte
	// Reading random bytes does not fail: the runtime ends the program instead.
	_, _ = rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// resumeText says which generations of the partitions a watch has seen all of.
// Generations count from the start of the process, so it names the process, too.
func resumeText(instance uint64, generations []uint32) string {
	b := binary.LittleEndian.AppendUint64(nil, instance)
	for _, g := range generations {
		b = binary.AppendUvarint(b, uint64(g))
	}
	return string(b)
}

// parseResume reads what resumeText wrote; ok is false when it is of another process
// or of no watch.
func parseResume(instance uint64, partitions int, text string) (generations []uint32, ok bool) {
	b := []byte(text)
	if len(b) < 8 || binary.LittleEndian.Uint64(b) != instance {
		return nil, false
	}
	for b = b[8:]; len(b) > 0; {
		g, n := binary.Uvarint(b)
		if n <= 0 || g > 1<<32-1 {
			return nil, false
		}
		generations, b = append(generations, uint32(g)), b[n:]
	}
	return generations, len(generations) == partitions
}
