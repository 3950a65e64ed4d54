package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/stream"
)

// journal is the simulated server: its streams outlive the hosts.
type journal struct {
	mu      sync.Mutex
	streams map[string]*messages
	plugins map[string][]byte
	owner   string // id of the data directory whose the log is
	epoch   uint64 // of the last claim
	anchors map[int]anchored
	now     func() time.Time
}

// anchored is a partition's last anchor.
type anchored struct {
	epoch uint64
	stream.Anchor
}

// messages are those of one stream, message n at index n-1.
type messages struct {
	list []stream.Message
	gone map[uint64]bool // holes
	// more is closed and replaced when the stream has changed.
	more chan struct{}
}

func newJournal(now func() time.Time) *journal {
	return &journal{now: now, streams: map[string]*messages{}, plugins: map[string][]byte{}, anchors: map[int]anchored{}}
}

// stream returns a stream, which there is from its first use on.
func (j *journal) stream(name string) *messages {
	s := j.streams[name]
	if s == nil {
		s = &messages{gone: map[uint64]bool{}, more: make(chan struct{})}
		j.streams[name] = s
	}
	return s
}

// store puts a message at the end of a stream.
func (j *journal) store(name string, m stream.Message) uint64 {
	s := j.stream(name)
	m.Sequence, m.Time = uint64(len(s.list)+1), j.now()
	s.list = append(s.list, m)
	s.changed()
	return m.Sequence
}

// changed wakes who waits for messages.
func (s *messages) changed() {
	close(s.more)
	s.more = make(chan struct{})
}

// last returns the last message of a subject, whose last element may be > or *.
func (s *messages) last(subject string) *stream.Message {
	for i, m := range slices.Backward(s.list) {
		if !s.gone[m.Sequence] && matches(subject, m.Subject) {
			return &s.list[i]
		}
	}
	return nil
}

// matches reports whether a subject is selected.
func matches(filter, subject string) bool {
	prefix, wild := strings.CutSuffix(filter, ">")
	if !wild {
		prefix, wild = strings.CutSuffix(filter, "*")
	}
	return filter == subject || wild && strings.HasPrefix(subject, prefix)
}

// streamOf names the stream that has a subject.
func streamOf(subject string) string {
	head, rest, _ := strings.Cut(subject, ".")
	switch head {
	case "usage":
		n, _, _ := strings.Cut(rest, ".")
		return "USAGE-" + n
	case "dead_letters":
		return stream.DeadLetters
	}
	return strings.ToUpper(head)
}

// connection is the log as one host has it open. What it may do without a gate
// answers at once; each answer holds at the moment of the call.
type connection struct {
	host.Log // what the simulation has no use for
	*process
	epoch uint64
}

func (c *connection) journal() *journal { return c.world.journal }

// EnsureStreams has nothing to do: streams begin with their first use.
func (c *connection) EnsureStreams(context.Context, int) error { return c.alive() }

// CheckStreams finds nothing wrong.
func (c *connection) CheckStreams(context.Context) ([]string, error) { return nil, c.alive() }

// MessageBytesMax is that of a server with NATS's own limit.
func (c *connection) MessageBytesMax() int { return 1<<20 - 1<<10 }

// Close does nothing: the process is gone, the server stays.
func (c *connection) Close() error { return nil }

// Claim makes a data directory the owner of the log.
func (c *connection) Claim(_ context.Context, storeID, _ string, takeOver bool) (uint64, error) {
	if err := c.alive(); err != nil {
		return 0, err
	}
	j := c.journal()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.owner != "" && j.owner != storeID && !takeOver {
		return 0, &stream.OwnedError{StoreID: j.owner, Epoch: j.epoch, Asked: storeID}
	}
	j.owner = storeID
	j.epoch++
	c.epoch = j.epoch
	return c.epoch, nil
}

// Anchor records that a checkpoint of a partition stands.
func (c *connection) Anchor(ctx context.Context, partition int, epoch uint64, a stream.Anchor) error {
	label := fmt.Sprintf("anchor %d", partition)
	v, err := c.step(ctx, label+" before")
	if err != nil {
		return err
	}
	if v.fail {
		return unavailable("anchor")
	}
	if err := c.anchor(partition, epoch, a); err != nil {
		return err
	}
	_, err = c.step(ctx, label+" after")
	return err
}

func (c *connection) anchor(partition int, epoch uint64, a stream.Anchor) error {
	j := c.journal()
	j.mu.Lock()
	defer j.mu.Unlock()
	if epoch != c.epoch || epoch != j.epoch {
		return fmt.Errorf("sim: anchor of partition %d: epoch %d: %w", partition, epoch, stream.ErrFenced)
	}
	c.world.watch.anchored(partition, a)
	j.anchors[partition] = anchored{epoch, a}
	return nil
}

// Append writes a message if the last of its subject is the one expected.
func (c *connection) Append(ctx context.Context, subject string, expectLast uint64, header map[string]string, body []byte) (uint64, error) {
	gated := strings.HasPrefix(subject, "usage.")
	if gated {
		if _, err := c.step(ctx, "append "+subject+" before"); err != nil {
			return 0, err
		}
	}
	sequence, err := c.append(subject, expectLast, header, body)
	if err == nil && gated {
		_, err = c.step(ctx, "append "+subject+" after")
	}
	return sequence, err
}

func (c *connection) append(subject string, expectLast uint64, header map[string]string, body []byte) (uint64, error) {
	if err := c.alive(); err != nil {
		return 0, err
	}
	j := c.journal()
	j.mu.Lock()
	defer j.mu.Unlock()
	have := uint64(0)
	if m := j.stream(streamOf(subject)).last(subject); m != nil {
		have = m.Sequence
	}
	if have != expectLast {
		return 0, fmt.Errorf("sim: %s after %d: %w", subject, expectLast, stream.ErrConflict)
	}
	if subject == "catalog.revision" {
		c.world.stored(body)
	}
	return j.store(streamOf(subject), stream.Message{Subject: subject, Header: headerOf(header), Data: slices.Clone(body)}), nil
}

func headerOf(header map[string]string) stream.Header {
	h := stream.Header{}
	for k, v := range header {
		h[k] = []string{v}
	}
	return h
}

// Publish writes messages.
func (c *connection) Publish(_ context.Context, out []stream.Outgoing) ([]uint64, error) {
	if err := c.alive(); err != nil {
		return nil, err
	}
	j := c.journal()
	j.mu.Lock()
	defer j.mu.Unlock()
	sequences := make([]uint64, len(out))
	for i, o := range out {
		sequences[i] = j.store(streamOf(o.Subject), stream.Message{Subject: o.Subject, Header: headerOf(o.Header), Data: slices.Clone(o.Data)})
	}
	return sequences, nil
}

// Last returns the last message of a subject.
func (c *connection) Last(_ context.Context, name, subject string) (*stream.Message, error) {
	if err := c.alive(); err != nil {
		return nil, err
	}
	j := c.journal()
	j.mu.Lock()
	defer j.mu.Unlock()
	if m := j.stream(name).last(subject); m != nil {
		found := *m
		return &found, nil
	}
	return nil, nil
}

// Get returns the message at a sequence.
func (c *connection) Get(ctx context.Context, name string, sequence uint64) (*stream.Message, error) {
	if err := c.alive(); err != nil {
		return nil, err
	}
	if c.flaky("get", name+side(ctx)) {
		return nil, unavailable("get")
	}
	j := c.journal()
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.stream(name)
	if sequence == 0 || sequence > uint64(len(s.list)) || s.gone[sequence] {
		return nil, fmt.Errorf("sim: message %d of %s: %w", sequence, name, stream.ErrNotFound)
	}
	m := s.list[sequence-1]
	return &m, nil
}

// Each calls fn for every message after a sequence.
func (c *connection) Each(ctx context.Context, name, subject string, after uint64, fn func(stream.Message) error) error {
	j := c.journal()
	j.mu.Lock()
	list := slices.Clone(j.stream(name).list)
	gone := maps.Clone(j.stream(name).gone)
	j.mu.Unlock()
	if subject == "" {
		subject = ">"
	}
	for i, m := range list[min(after, uint64(len(list))):] {
		if err := c.alive(); err != nil {
			return err
		}
		if i > 0 && strings.HasPrefix(name, "USAGE") && c.flaky("each", name+side(ctx)) {
			return unavailable("each")
		}
		if gone[m.Sequence] {
			return &stream.GapError{Stream: name, Expected: m.Sequence, Got: m.Sequence + 1}
		}
		if !matches(subject, m.Subject) {
			continue
		}
		if err := fn(m); err != nil {
			return err
		}
	}
	return nil
}

// LastSequence returns the first and the last sequence of a stream.
func (c *connection) LastSequence(_ context.Context, name string) (first, last uint64, err error) {
	if err := c.alive(); err != nil {
		return 0, 0, err
	}
	j := c.journal()
	j.mu.Lock()
	defer j.mu.Unlock()
	last = uint64(len(j.stream(name).list))
	return min(1, last), last, nil
}

// PutPlugin keeps the bytes of a plugin.
func (c *connection) PutPlugin(_ context.Context, digest string, wasm []byte) error {
	if err := c.alive(); err != nil {
		return err
	}
	j := c.journal()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.plugins[digest] = wasm
	return nil
}

// GetPlugin returns the bytes of a plugin.
func (c *connection) GetPlugin(_ context.Context, digest string) ([]byte, error) {
	j := c.journal()
	j.mu.Lock()
	defer j.mu.Unlock()
	if wasm, ok := j.plugins[digest]; ok {
		return wasm, c.alive()
	}
	return nil, fmt.Errorf("sim: plugin %s: %w", digest, stream.ErrNotFound)
}

// ListPlugins returns the digests of all plugins.
func (c *connection) ListPlugins(context.Context) ([]string, error) {
	j := c.journal()
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Sorted(maps.Keys(j.plugins)), c.alive()
}

// reader reads a partition.
type reader struct {
	*connection
	partition int
	taken     uint64 // sequence of the last message returned
}

// Reader reads a partition from the message after a sequence on.
func (c *connection) Reader(_ context.Context, partition int, after uint64) (host.LogReader, error) {
	j := c.journal()
	j.mu.Lock()
	defer j.mu.Unlock()
	if last := uint64(len(j.stream(stream.Usage(partition)).list)); after > last {
		return nil, &stream.StreamChangedError{Stream: stream.Usage(partition), Position: after, Last: last, Reason: "it is shorter"}
	}
	return &reader{connection: c, partition: partition, taken: after}, c.alive()
}

// Next returns the next messages, of those that are there as many as the scheduler
// says.
func (r *reader) Next(ctx context.Context, limit stream.Limit) ([]stream.Message, error) {
	j, name := r.journal(), stream.Usage(r.partition)
	for {
		j.mu.Lock()
		s := j.stream(name)
		there, more := uint64(len(s.list)) > r.taken, s.more
		j.mu.Unlock()
		if there {
			break
		}
		select {
		case <-more:
		case <-r.dead:
			return nil, errCrashed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	v, err := r.step(ctx, fmt.Sprintf("next %d", r.partition))
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.stream(name)
	n := min(1+v.number%readAtMost, uint64(len(s.list))-r.taken, uint64(max(limit.Messages, 1)))
	if v.fail {
		n = uint64(len(s.list)) - r.taken
	}
	batch := make([]stream.Message, 0, n)
	for _, m := range s.list[r.taken : r.taken+n] {
		if s.gone[m.Sequence] {
			if len(batch) > 0 {
				break
			}
			return nil, &stream.GapError{Stream: name, Expected: m.Sequence, Got: m.Sequence + 1}
		}
		batch = append(batch, m)
		r.taken = m.Sequence
	}
	return batch, nil
}

// readAtMost is how many messages come at a time, most often.
const readAtMost = 9

// Pending returns 0: nobody decides by it.
func (r *reader) Pending() uint64 { return 0 }

// Close ends the reading.
func (r *reader) Close() {}

// chain writes numbered entries to a subject.
type chain struct {
	*connection
	subject          string
	number, sequence uint64
	stale            bool
}

// headerNumber carries the number of an entry.
const headerNumber = "Tollway-Number"

// Chain finds where the entries of a subject stand.
func (c *connection) Chain(_ context.Context, subject string) (host.LogChain, error) {
	if err := c.alive(); err != nil {
		return nil, err
	}
	h := &chain{connection: c, subject: subject}
	j := c.journal()
	j.mu.Lock()
	defer j.mu.Unlock()
	return h, h.load()
}

func (h *chain) load() error {
	h.number, h.sequence, h.stale = 0, 0, false
	m := h.journal().stream(streamOf(h.subject)).last(h.subject)
	if m == nil {
		return nil
	}
	var err error
	h.sequence = m.Sequence
	h.number, err = strconv.ParseUint(m.Header.Get(headerNumber), 10, 64)
	return err
}

// Last returns the number of the last entry that is known to be written.
func (h *chain) Last() uint64 { return h.number }

// Publish writes entries in order, each once. Where the scheduler lets it fail, it
// has written some, and the caller does not know which.
func (h *chain) Publish(ctx context.Context, first uint64, entries [][]byte) error {
	v, err := h.step(ctx, "publish "+h.subject+" before")
	if err != nil {
		return err
	}
	written := len(entries)
	if v.fail {
		written = int(v.number % uint64(len(entries)+1))
	}
	if err := h.write(first, entries[:written]); err != nil {
		return err
	}
	if v.fail {
		h.stale = true
		return unavailable("publish")
	}
	_, err = h.step(ctx, "publish "+h.subject+" after")
	return err
}

func (h *chain) write(first uint64, entries [][]byte) error {
	j := h.journal()
	j.mu.Lock()
	defer j.mu.Unlock()
	if h.stale {
		if err := h.load(); err != nil {
			return err
		}
	}
	if first > h.number+1 {
		return fmt.Errorf("sim: entry %d of %s cannot come after entry %d", first, h.subject, h.number)
	}
	for i, e := range entries {
		number := first + uint64(i)
		if number <= h.number {
			continue
		}
		have := uint64(0)
		if m := j.stream(streamOf(h.subject)).last(h.subject); m != nil {
			have = m.Sequence
		}
		if have != h.sequence {
			h.stale = true
			return fmt.Errorf("sim: entry %d of %s: %w", number, h.subject, stream.ErrConflict)
		}
		h.world.watch.published(h.subject, number)
		m := stream.Message{Subject: h.subject, Header: stream.Header{headerNumber: {strconv.FormatUint(number, 10)}}, Data: slices.Clone(e)}
		h.sequence, h.number = j.store(streamOf(h.subject), m), number
	}
	return nil
}

// unavailable is the error of a server that does not answer.
func unavailable(what string) error { return fmt.Errorf("sim: %s: %w", what, stream.ErrUnavailable) }

// control is a control message as the watch reads it.
type control struct {
	Revision uint64    `json:"revision"`
	Zone     string    `json:"zone"`
	Anchor   int       `json:"anchor_day"`
	Period   string    `json:"period"`
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
	Discard  bool      `json:"discard"`
	Reprice  bool      `json:"reprice"`
	Letters  []struct {
		Number   uint64 `json:"number"`
		Position uint64 `json:"position"`
		Index    int    `json:"index"`
	} `json:"letters"`
}

func decodeControl(m stream.Message) (c control, verb string, err error) {
	parts := strings.SplitN(m.Subject, ".", 5)
	err = json.Unmarshal(m.Data, &c)
	return c, parts[3], err
}
