package backfill

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/sdk/billing"
)

// Bounds of sets.
const (
	BucketEvents = 16_384 // events of a bucket, about
	BucketsMax   = 256    // buckets of a set; of one with more events they are larger
	SetsMax      = 16     // sets at a time
	ChunkMax     = 4 << 20

	messageEvents = 1_000 // of a message
	messageBytes  = 256 << 10
)

// Files of a set's folder.
const (
	fileIncoming = "incoming"
	fileManifest = "manifest.json"
	fileShown    = "shown.json"
)

// Errors of sets.
var (
	ErrName     = errors.New("a backfill's name has 1 to 63 small letters, digits, - and _, and begins with a letter or digit")
	ErrNone     = errors.New("there is no such backfill")
	ErrExists   = errors.New("there is a backfill of this name")
	ErrMany     = fmt.Errorf("there are %d backfills already, those that are being sent included", SetsMax)
	ErrEmpty    = errors.New("it has no events")
	ErrSequence = errors.New("a part is missing")
	ErrCorrupt  = errors.New("the file of a backfill is damaged")
)

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// Manifest says what a set is.
type Manifest struct {
	Name    string    `json:"name"`
	Digest  string    `json:"digest"` // "sha256:" of the events as JSON Lines, in order
	Events  uint64    `json:"events"`
	By      string    `json:"by"` // who sent it
	At      time.Time `json:"at"`
	Buckets []Bucket  `json:"buckets"`
}

// Shown says as of where a set's difference was shown.
type Shown struct {
	At        time.Time      `json:"at"`
	Positions map[int]uint64 `json:"positions"` // by partition
}

// Store keeps sets in a folder. It is safe for concurrent use; whoever reads a set's
// buckets sees to it that it is not dropped meanwhile.
type Store struct {
	dir        string
	partitions int
	bytesMax   int // of a message

	mu      sync.Mutex
	sets    map[string]*Set
	sending map[string]*sending
}

// sending is a set that is being sent.
type sending struct {
	file   *os.File
	sum    hash.Hash
	next   int // number of the next part
	events uint64
}

// Open opens the sets of a folder, which need not be there yet.
func Open(dir string, partitions, bytesMax int) (*Store, error) {
	s := &Store{dir: dir, partitions: partitions, bytesMax: min(bytesMax, messageBytes), sets: map[string]*Set{}, sending: map[string]*sending{}}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("backfill: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		text, err := os.ReadFile(filepath.Join(path, fileManifest))
		if errors.Is(err, os.ErrNotExist) {
			err = os.RemoveAll(path) // it was being sent
		} else if err == nil {
			set := &Set{dir: path}
			if err = json.Unmarshal(text, &set.Manifest); err == nil {
				s.sets[set.Name] = set
			}
		}
		if err != nil {
			return nil, fmt.Errorf("backfill: %s: %w", path, err)
		}
	}
	return s, nil
}

// Close lets go of the sets that are being sent.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var problems []error
	for _, in := range s.sending {
		problems = append(problems, in.file.Close())
	}
	clear(s.sending)
	return errors.Join(problems...)
}

// Add takes a part of a set, CloudEvents as JSON Lines. Parts are numbered from 0, and
// part 0 begins the set, anew where it was being sent before. One that was taken already
// is taken again without effect.
//
// # Errors
//
// ErrName, ErrExists, ErrMany and ErrSequence; *ingest.LineError for a line that is no
// event, after which the part was not taken.
func (s *Store) Add(name string, number int, lines []byte) error {
	if !nameForm.MatchString(name) {
		return ErrName
	}
	events, err := readLines(name, lines)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.sending[name]
	switch {
	case s.sets[name] != nil:
		return ErrExists
	case number == 0:
		if in, err = s.begin(name); err != nil {
			return err
		}
	case in == nil || number > in.next:
		return ErrSequence
	case number < in.next:
		return nil
	}
	for i := range events {
		line := append(ingest.FormatJSON(events[i]), '\n')
		in.sum.Write(line)
		if _, err := in.file.Write(line); err != nil {
			// Some of the part is in the file: the set has to be sent from its beginning.
			delete(s.sending, name)
			return fmt.Errorf("backfill: %w", errors.Join(err, in.file.Close()))
		}
	}
	in.next, in.events = number+1, in.events+uint64(len(events))
	return nil
}

// begin begins a set.
func (s *Store) begin(name string) (*sending, error) {
	if before := s.sending[name]; before != nil {
		delete(s.sending, name)
		if err := before.file.Close(); err != nil {
			return nil, fmt.Errorf("backfill: %w", err)
		}
	}
	if len(s.sets)+len(s.sending) >= SetsMax {
		return nil, ErrMany
	}
	dir := filepath.Join(s.dir, name)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return nil, fmt.Errorf("backfill: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, fileIncoming), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("backfill: %w", err)
	}
	in := &sending{file: file, sum: sha256.New()}
	s.sending[name] = in
	return in, nil
}

// readLines reads the events of a part.
func readLines(name string, lines []byte) ([]billing.UsageEvent, error) {
	r, err := ingest.NewReader(name, bytes.NewReader(lines))
	if err != nil {
		return nil, err
	}
	var events []billing.UsageEvent
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
}

// Finish makes a set of all parts that were added. It is durable when Finish returns.
//
// # Errors
//
// ErrNone when nothing was added, ErrEmpty when that has no events.
func (s *Store) Finish(name, by string, at time.Time) (*Set, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.sending[name]
	switch {
	case in == nil && s.sets[name] != nil:
		return s.sets[name], nil // it was finished, and the answer was lost
	case in == nil:
		return nil, ErrNone
	case in.events == 0:
		return nil, ErrEmpty
	}
	delete(s.sending, name)
	set := &Set{dir: filepath.Join(s.dir, name), Manifest: Manifest{
		Name: name, Digest: "sha256:" + hex.EncodeToString(in.sum.Sum(nil)), Events: in.events, By: by, At: at.UTC(),
	}}
	err := in.file.Close()
	if err == nil {
		err = set.divide(s.partitions, s.bytesMax)
	}
	if err == nil {
		err = set.write(fileManifest, set.Manifest)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("backfill: %w", err), os.RemoveAll(set.dir))
	}
	s.sets[name] = set
	return set, nil
}

// List returns the sets, by name.
func (s *Store) List() []*Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Set, 0, len(s.sets))
	for _, set := range s.sets {
		list = append(list, set)
	}
	slices.SortFunc(list, func(a, b *Set) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Sending is a set that is not whole yet. It counts among SetsMax until it is finished,
// begun anew or dropped.
type Sending struct {
	Name   string
	Events uint64 // that came so far
}

// Sending returns the sets that are being sent, by name.
func (s *Store) Sending() []Sending {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Sending, 0, len(s.sending))
	for name, in := range s.sending {
		list = append(list, Sending{name, in.events})
	}
	slices.SortFunc(list, func(a, b Sending) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Get returns a set, or ErrNone.
func (s *Store) Get(name string) (*Set, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if set := s.sets[name]; set != nil {
		return set, nil
	}
	return nil, ErrNone
}

// Drop removes a set, or what was sent of one. ErrNone says that there is neither.
func (s *Store) Drop(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	in, set := s.sending[name], s.sets[name]
	if in == nil && set == nil {
		return ErrNone
	}
	var err error
	if in != nil {
		err = in.file.Close()
	}
	delete(s.sending, name)
	delete(s.sets, name)
	dir := filepath.Join(s.dir, name)
	// Without its manifest it is no set, whatever a crash leaves of the rest.
	if removed := os.Remove(filepath.Join(dir, fileManifest)); removed != nil && !errors.Is(removed, os.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		return fmt.Errorf("backfill: %w", err)
	}
	return nil
}

// divide packs the events of a set into buckets, in their order.
func (s *Set) divide(partitions, bytesMax int) (err error) {
	path := filepath.Join(s.dir, fileIncoming)
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(path)) }()
	per := int(min(BucketsMax, max(uint64(partitions), (s.Events+BucketEvents-1)/BucketEvents))) / partitions
	per = max(per, 1)
	writers := map[int]*writer{}
	defer func() {
		for _, w := range writers { // those that are left when it failed
			err = errors.Join(err, w.file.Close())
		}
	}()
	events, err := ingest.NewReader(s.Name, bufio.NewReaderSize(file, 1<<20))
	if err != nil {
		return err
	}
	for {
		e, err := events.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		partition := billing.Partition(e.Account, partitions)
		number := partition*per + int(e.Account.TokenHash()/uint32(partitions))%per
		w := writers[number]
		if w == nil {
			if w, err = newWriter(s.dir, Bucket{File: fmt.Sprintf("%05d", number), Partition: partition}, bytesMax); err != nil {
				return err
			}
			writers[number] = w
		}
		if err := w.add(&e); err != nil {
			return err
		}
	}
	for number, w := range writers {
		delete(writers, number)
		if err := w.close(); err != nil {
			return err
		}
		s.Buckets = append(s.Buckets, w.bucket)
	}
	slices.SortFunc(s.Buckets, func(a, b Bucket) int { return cmp.Compare(a.File, b.File) })
	return nil
}
