package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// A shadow prices a tariff's usage twice, as the catalog in force does and by a
// candidate, from the same messages of the log that the partitions read, in raters
// and states of its own. It writes nothing but its beginning and end to the
// ledger, so it cannot touch money; and all shadows together get a share of one
// processor, so they cost the partitions little.
//
//	USAGE-n ─▶ partition n ──▶ state, invoices
//	      └──▶ shadow, part n ─▶ two states in memory ─▶ report
//
// It keeps nothing on disk: after a restart it reads its part of the log again.

// DefaultShadowPercent is how much of one processor all shadows use together.
const DefaultShadowPercent = 25

// Limits of shadows, so that they cannot take the host's memory.
const (
	shadowsMax      = 8         // at a time
	shadowSlotsMax  = 500_000   // slots of one partition, what is in force and the candidate each
	shadowEventsMax = 5_000_000 // events of one partition, whose identities are kept
)

// shadowLead is how long before a period the log is read from: nobody's usage is
// written earlier than it happens by more than clocks differ.
const shadowLead = 24 * time.Hour

// subjectShadow and the name of a tariff is where the ledger has its shadows.
const subjectShadow = "ledger.shadow."

// shadowRecord is the body of a shadow message: how it was started, or that it was
// stopped.
type shadowRecord struct {
	Tariff  string    `json:"tariff"`
	Stopped bool      `json:"stopped,omitempty"`
	Plugin  string    `json:"plugin,omitempty"`
	Params  string    `json:"params,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Percent int       `json:"percent,omitempty"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
}

// ShadowRequest names a candidate.
type ShadowRequest struct {
	Tariff  string
	Plugin  string    // as a catalog names it; empty: the one in force
	Params  string    // a JSON object; empty: those in force
	Since   time.Time // event time; zero: the start of the oldest open period that the newest usage belongs to
	Percent int       // of the accounts, 1 to 100; 0: all
	By      string    // who starts it
}

// shadows are those of a host. It is safe for concurrent use.
type shadows struct {
	host *Host
	turn chan struct{} // one works at a time
	read chan struct{} // closed when those in the ledger are there

	mu       sync.Mutex
	byTariff map[string]*shadow
	group    *errgroup.Group // nil while the host does not run
	ctx      context.Context // of the host's run: what a request starts must outlive it
}

func newShadows(h *Host) *shadows {
	return &shadows{host: h, turn: make(chan struct{}, 1), read: make(chan struct{}), byTariff: map[string]*shadow{}}
}

// shadow is one candidate at work.
type shadow struct {
	host   *Host
	record shadowRecord
	parts  []*shadowPart
	stop   context.CancelFunc
	done   chan struct{} // closed when nothing works on it any more

	mu    sync.Mutex
	ended string // why it does not go on

	catalogs sync.Mutex
	revision uint64 // of the pair
	pair     [2]*catalog.Catalog
	digest   string // of the candidate's plugin
}

// The two sides of a shadow.
const (
	inForce = iota
	candidate
)

// run starts the shadows that the ledger has and keeps all of them going until the
// context ends. What befalls one is its own: run fails only if the ledger cannot
// be read.
func (s *shadows) run(ctx context.Context) error {
	records, err := s.recorded(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the host is ending
		}
		return fmt.Errorf("host: shadows: %w", err)
	}
	group := &errgroup.Group{}
	s.mu.Lock()
	s.group, s.ctx = group, ctx
	s.mu.Unlock()
	for _, tariff := range slices.Sorted(maps.Keys(records)) {
		if r := records[tariff]; !r.Stopped {
			if _, err := s.begin(ctx, r); err != nil {
				s.host.log.Warn("a shadow cannot go on", "tariff", tariff, "error", err)
			}
		}
	}
	close(s.read)
	<-ctx.Done()
	s.mu.Lock()
	s.group = nil
	s.mu.Unlock()
	return group.Wait()
}

// recorded reads what the ledger has of shadows, the last word on each tariff. While
// the log cannot be asked it tries on: a host whose NATS is away goes on.
func (s *shadows) recorded(ctx context.Context) (map[string]shadowRecord, error) {
	for {
		records := map[string]shadowRecord{}
		err := s.host.conn.Each(ctx, stream.Ledger, subjectShadow+"*", 0, func(m stream.Message) error {
			var r shadowRecord
			if err := json.Unmarshal(m.Data, &r); err != nil {
				return fmt.Errorf("message %d of %s: %w", m.Sequence, stream.Ledger, err)
			}
			records[r.Tariff] = r
			return nil
		})
		if !errors.Is(err, stream.ErrUnavailable) || ctx.Err() != nil {
			return records, err
		}
		s.host.log.Warn("the ledger cannot be read for shadows, trying on", "error", err)
		select {
		case <-time.After(readPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// StartShadow begins to price a tariff's live usage by a candidate, and records
// that in the ledger. A tariff has one shadow at a time; starting the same again
// changes nothing.
func (h *Host) StartShadow(ctx context.Context, r ShadowRequest) (query.Shadow, error) {
	if r.Percent == 0 {
		r.Percent = 100
	}
	record := shadowRecord{Tariff: r.Tariff, Plugin: r.Plugin, Percent: r.Percent, Since: r.Since.UTC(), By: r.By, At: h.config.Now().UTC()}
	if r.Plugin == "" && r.Params == "" {
		return query.Shadow{}, invalidShadow("name a plugin, params or both: what is in force is no candidate")
	}
	if strings.HasSuffix(r.Plugin, ".wasm") {
		return query.Shadow{}, invalidShadow("%s is a file: push it with `tollway plugin push`, and name it as NAME@sha256:DIGEST", r.Plugin)
	}
	if r.Params != "" {
		params, err := catalog.ParseParams(r.Params)
		if err != nil {
			return query.Shadow{}, invalidShadow("%v", err)
		}
		record.Params = string(params)
	}
	if r.Since.IsZero() {
		record.Since = h.openSince()
	}
	s, err := h.shadows.begin(ctx, record)
	if err != nil {
		return query.Shadow{}, err
	}
	if s.record.At.Equal(record.At) { // it is this one, not the same that was there
		if err := h.shelf.append(ctx, subjectShadow+record.Tariff, record); err != nil {
			return query.Shadow{}, errors.Join(err, h.shadows.end(ctx, record.Tariff))
		}
	}
	return s.describe(), nil
}

func invalidShadow(format string, args ...any) *Fault {
	return fault(ReasonInvalidShadow, "", "the shadow was not started: "+format, args...)
}

// openSince returns the start of the oldest open period that the newest usage lies
// in; without usage the zero time.
func (h *Host) openSince() time.Time {
	watermark := rate.Beginning
	for _, p := range h.partitions {
		watermark = max(watermark, p.state.Header().Watermark)
	}
	if watermark == rate.Beginning {
		return time.Time{}
	}
	since := watermark
	for _, p := range h.partitions {
		for _, open := range p.state.OpenPeriods() {
			if open.Start <= watermark && watermark < open.End {
				since = min(since, open.Start)
			}
		}
	}
	return time.Unix(0, since).UTC()
}

// begin starts a shadow from its record. The same one that works already is
// returned instead; one that ended is begun anew.
func (s *shadows) begin(ctx context.Context, record shadowRecord) (*shadow, error) {
	next := &shadow{host: s.host, record: record, done: make(chan struct{})}
	if err := next.useNewest(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.group == nil {
		return nil, fault(ReasonUnavailable, "try again", "the host does not run yet")
	}
	if have := s.byTariff[record.Tariff]; have != nil && have.endedBy() == "" {
		if have.same(record) {
			return have, nil
		}
		return nil, invalidShadow("tariff %s has one already, of %s: stop it first with `tollway plugin shadow stop %s`", record.Tariff, have.record.name(), record.Tariff)
	} else if have == nil && len(s.byTariff) >= shadowsMax {
		return nil, invalidShadow("%d shadows are there already; stop one first", shadowsMax)
	}
	running, stop := context.WithCancel(s.ctx)
	next.stop = stop
	for n := range s.host.partitions {
		next.parts = append(next.parts, newShadowPart(next, n))
	}
	s.byTariff[record.Tariff] = next
	s.group.Go(func() error {
		defer close(next.done)
		next.follow(running, s.turn)
		return nil
	})
	return next, nil
}

// name says what the candidate is.
func (r shadowRecord) name() string {
	if r.Plugin == "" {
		return "other params"
	}
	return r.Plugin
}

// same reports whether a shadow is the one that a record asks for.
func (s *shadow) same(r shadowRecord) bool {
	return s.record.Plugin == r.Plugin && s.record.Params == r.Params && s.record.Percent == r.Percent && s.record.Since.Equal(r.Since)
}

// useNewest makes the pair of catalogs from the newest revision.
func (s *shadow) useNewest(ctx context.Context) error {
	c, revision, _ := s.host.catalogs.newest()
	return s.use(ctx, c, revision)
}

// use makes the pair of catalogs from a revision, if it is newer than the one that
// the pair is made from.
func (s *shadow) use(ctx context.Context, c *catalog.Catalog, revision uint64) error {
	s.catalogs.Lock()
	defer s.catalogs.Unlock()
	if s.pair[inForce] != nil && revision <= s.revision {
		return nil
	}
	active, err := c.Only(s.record.Tariff)
	if err != nil {
		return invalidShadow("%v", err)
	}
	var params json.RawMessage
	if s.record.Params != "" {
		params = json.RawMessage(s.record.Params)
	}
	other, err := c.Candidate(s.record.Tariff, s.record.Plugin, params)
	if err != nil {
		return invalidShadow("%v", err)
	}
	resolver := s.host.newResolver(ctx, c, ApplyRequest{})
	problems := other.Resolve(resolver)
	if err := resolver.close(); err != nil {
		return fmt.Errorf("host: shadow: %w", err)
	}
	if len(problems) > 0 {
		return invalidShadow("the catalog would have problems with the candidate, the first: %s", problems[0])
	}
	s.pair, s.revision = [2]*catalog.Catalog{active, other}, revision
	versions := other.Tariffs[s.record.Tariff].Versions
	s.digest = versions[len(versions)-1].Module
	return nil
}

// catalogsNow returns the pair of catalogs and the revision that it is of.
func (s *shadow) catalogsNow() ([2]*catalog.Catalog, uint64) {
	s.catalogs.Lock()
	defer s.catalogs.Unlock()
	return s.pair, s.revision
}

// follow has all parts read the log until the context ends or one of them cannot
// go on.
func (s *shadow) follow(ctx context.Context, turn chan struct{}) {
	group, working := errgroup.WithContext(ctx)
	for _, p := range s.parts {
		group.Go(func() error { return p.follow(working, turn) })
	}
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		s.mu.Lock()
		s.ended = err.Error()
		s.mu.Unlock()
		s.host.log.Warn("a shadow has ended", "tariff", s.record.Tariff, "why", err)
	}
}

func (s *shadow) endedBy() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// describe says how the shadow stands.
func (s *shadow) describe() query.Shadow {
	s.catalogs.Lock()
	digest := s.digest
	s.catalogs.Unlock()
	d := query.Shadow{
		Tariff: s.record.Tariff, Plugin: s.record.Plugin, Digest: digest, Params: s.record.Params, Since: s.record.Since, Percent: s.record.Percent,
		StartedAt: s.record.At, StartedBy: s.record.By, Ended: s.endedBy(),
	}
	for _, p := range s.parts {
		p.mu.Lock()
		d.Events += uint64(len(p.seen))
		d.Behind += p.behind
		p.mu.Unlock()
	}
	return d
}

// end stops the shadow of a tariff and forgets it.
func (s *shadows) end(ctx context.Context, tariff string) error {
	s.mu.Lock()
	have := s.byTariff[tariff]
	delete(s.byTariff, tariff)
	s.mu.Unlock()
	if have == nil {
		return fault(ReasonNotFound, "`tollway plugin shadow report` lists the shadows", "tariff %q has no shadow", tariff)
	}
	have.stop()
	select {
	case <-have.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// StopShadow ends the shadow of a tariff and forgets its figures.
func (h *Host) StopShadow(ctx context.Context, tariff, by string) error {
	if err := h.shadows.end(ctx, tariff); err != nil {
		return err
	}
	return h.shelf.append(ctx, subjectShadow+tariff, shadowRecord{Tariff: tariff, Stopped: true, By: by, At: h.config.Now().UTC()})
}

// side is one of the two ways in which a part prices.
type side struct {
	rater *rate.Rater
	state *accumulate.State
}

// shadowGenerationBytes is after how much a side drops what a checkpoint would
// need of its changes.
const shadowGenerationBytes = 1 << 20

// take makes the changes of a batch.
func (s *side) take(changes []rate.Change) error {
	if err := s.state.Take(changes); err != nil {
		return err
	}
	if s.state.Filling().Bytes() < shadowGenerationBytes {
		return nil
	}
	g, err := s.state.Cut()
	if err != nil {
		return err
	}
	s.state.Durable(g) // nothing is: it is only ever in memory
	return nil
}

// shadowed reports whether an account is among those that a shadow prices.
func (r shadowRecord) shadowed(account billing.AccountID) bool {
	if r.Percent >= 100 {
		return true
	}
	const spread = 2_654_435_761 // Knuth's multiplier: the partition is the same hash's remainder
	return int(account.TokenHash()*spread>>16)%100 < r.Percent
}
