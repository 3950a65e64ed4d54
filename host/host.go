package host

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/deliver"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/intake"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/sign"
)

// Host is one process's share of the engine: all partitions of one log.
//
// Open, Run and Close are called once each, in this order; the other methods
// are safe for concurrent use while Run runs.
type Host struct {
	config     Config
	log        *slog.Logger
	conn       Log
	intake     *intake.Intake
	store      Store
	runtime    *plugins.Runtime
	endRuntime func(context.Context) error
	registry   *registry
	shelf      *shelf
	trust      sign.Trust
	shadows    *shadows
	seed       uint64 // of identities
	catalogs   *catalogs
	partitions []*partition
	outboxes   []*outbox
	queries    *query.Engine
	epoch      uint64
	invoices   *invoiceIndex
	alerts     *alertList
	trials     *trials // of previews
	backfills  *backfills
	histories  *histories
	deliverer  *deliver.Deliverer
	warned     []string // of the streams, by the last check; of Open and then of watchLog

	applying sync.Mutex // one catalog is applied at a time
	running  atomic.Bool
	ended    chan struct{} // closed when Run has ended
	failure  atomic.Pointer[error]
}

// Open claims the log and the state and makes everything ready. Nothing is read
// or changed before Run.
func Open(ctx context.Context, config Config) (*Host, error) {
	config = config.withDefaults()
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	h := &Host{config: config, log: config.Log, ended: make(chan struct{})}
	h.shadows = newShadows(h)
	h.histories = newHistories(h)
	defer config.Memory.open()()
	if err := h.open(ctx); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// open does the work of Open; after an error Close releases what was opened.
func (h *Host) open(ctx context.Context) (err error) {
	config := h.config
	// The store comes first: it makes the data directory so that a power cut does
	// not take it away again.
	if h.store, err = config.openStore(); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	if err := os.MkdirAll(config.DataDir, 0o700); err != nil {
		return fmt.Errorf("host: data directory: %w", err)
	}
	begun := config.Now()
	h.invoices, h.alerts = newInvoiceIndex(config.Partitions), newAlertList(config.Partitions)
	h.log.Info("reading the state", "data", config.DataDir, "partitions", config.Partitions)
	turns := newTurns(config.Turns)
	for n := range config.Partitions {
		h.partitions = append(h.partitions, &partition{
			number: n, host: h, state: accumulate.NewState(), turn: turn{turns: turns, now: config.Now}, health: newHealth(config.Now()), asks: make(chan func()),
			completed: make(chan struct{}),
		})
	}
	// Reading the state takes longest, and needs neither the log nor plugins.
	var group errgroup.Group
	group.Go(h.loadPartitions)
	group.Go(func() error { return h.openLog(ctx) })
	if err := group.Wait(); err != nil {
		return err
	}
	failpoint.Hit("open.loaded")
	if err := h.joinPartitions(ctx); err != nil {
		return err
	}
	failpoint.Hit("open.joined")
	if _, err := h.completeMarkers(ctx); err != nil {
		return err
	}
	if err := h.openDeliveries(ctx); err != nil {
		return err
	}
	if err := h.openBackfills(ctx); err != nil {
		return err
	}
	if _, err = h.revokedInUse(ctx); err != nil {
		return err
	}
	h.log.Info("state, log and plugins are open", "took", config.Now().Sub(begun).Round(time.Millisecond))
	return nil
}

// openLog opens the log, and what is made from it: plugins and catalogs.
func (h *Host) openLog(ctx context.Context) (err error) {
	if err := h.openStreams(ctx); err != nil {
		return err
	}
	builtIns, endRuntime, err := h.config.openPlugins(ctx)
	h.endRuntime = endRuntime
	if err != nil {
		return fmt.Errorf("host: %w", err)
	}
	h.runtime, h.registry = builtIns.runtime, newRegistry(builtIns, h.conn)
	if h.trust, err = sign.LoadTrust(h.config.Plugins.Trust); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	if h.shelf, err = loadShelf(ctx, h.conn); err != nil {
		return err
	}
	h.catalogs = &catalogs{conn: h.conn, current: catalog.Empty()}
	if err := h.catalogs.load(ctx); err != nil {
		return err
	}
	return h.loadNamed(ctx)
}

// loadNamed loads the built-in plugins that the catalog names, so that no usage waits for
// them. Those that were pushed are loaded when they are first needed.
func (h *Host) loadNamed(ctx context.Context) error {
	named, _, _ := h.catalogs.newest()
	for _, digest := range named.Modules() {
		if h.registry.builtIn[digest] == nil {
			continue
		}
		h.log.Info("loading a built-in plugin; the first time in a data directory it is compiled", "plugin", h.registry.builtIn[digest].Name)
		if _, err := h.registry.Module(ctx, digest); err != nil {
			return fmt.Errorf("host: %w", err)
		}
	}
	return nil
}

// openStreams connects to the log, checks that it cannot lose events, and
// claims it for this data directory.
func (h *Host) openStreams(ctx context.Context) error {
	conn, err := h.config.openLog(ctx)
	if err != nil {
		return fmt.Errorf("host: %w", err)
	}
	h.conn = conn
	h.intake = intake.New(conn, h.config.Partitions, conn.MessageBytesMax())
	if err := conn.EnsureStreams(ctx, h.config.Partitions); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	if err := h.checkStreams(ctx); err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("host: this machine's name: %w", err)
	}
	if h.epoch, err = conn.Claim(ctx, h.store.ID(), name, h.config.TakeOver); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	return nil
}

// checkStreams refuses streams that could lose events, and tells what else is doubtful about
// them: once, and again when it has changed.
func (h *Host) checkStreams(ctx context.Context) error {
	warnings, err := h.conn.CheckStreams(ctx)
	if err != nil {
		return fmt.Errorf("host: %w", err)
	}
	for _, w := range warnings {
		if !slices.Contains(h.warned, w) {
			h.log.Warn(w)
		}
	}
	h.warned = warnings
	return nil
}

// loadPartitions reads every partition's last checkpoint, as many at a time as
// there are processors.
func (h *Host) loadPartitions() error {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range h.partitions {
		group.Go(func() error {
			if err := p.load(); err != nil {
				return fmt.Errorf("host: partition %d: %w", p.number, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// joinPartitions brings every partition's state and the log together.
func (h *Host) joinPartitions(ctx context.Context) error {
	seed, err := h.identitySeed(ctx)
	if err != nil {
		return err
	}
	h.seed = seed
	var views []query.Partition
	for n, p := range h.partitions {
		p.decoder, p.rater = ingest.NewDecoder(seed), rate.NewRater(h.registry)
		err := p.join(ctx)
		if isDamage(err) { // in what is read for the first time here: invoices and verdicts
			if err = p.beginAnew(err); err == nil {
				err = p.join(ctx)
			}
		}
		if err != nil {
			return fmt.Errorf("host: partition %d: %w", n, err)
		}
		views = append(views, query.Partition{Stream: stream.Usage(n), State: p.state})
		h.outboxes = append(h.outboxes, newOutbox(h, p))
	}
	h.queries = query.NewEngine(views)
	h.intake.KeepPace(paceOf{h}, h.config.Now)
	h.trials = newTrials(h)
	return nil
}

// identitySeed keys the hashes of event identities, so that nobody who only
// chooses event ids can make two of them collide. It is in the ledger, so that
// a rebuilt state has the same hashes.
func (h *Host) identitySeed(ctx context.Context) (uint64, error) {
	const subject = "ledger.genesis"
	type genesis struct {
		Seed       string    `json:"identity_seed"`
		Partitions int       `json:"partitions"`
		At         time.Time `json:"at"`
	}
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("host: identity seed: %w", err)
	}
	body, err := json.Marshal(genesis{Seed: strconv.FormatUint(binary.LittleEndian.Uint64(b[:]), 16), Partitions: h.config.Partitions, At: h.config.Now().UTC()})
	if err != nil {
		return 0, fmt.Errorf("host: identity seed: %w", err)
	}
	if _, err := h.conn.Append(ctx, subject, 0, nil, body); err != nil && !errors.Is(err, stream.ErrConflict) {
		return 0, fmt.Errorf("host: identity seed: %w", err)
	}
	m, err := h.conn.Last(ctx, stream.Ledger, subject)
	if err != nil || m == nil {
		return 0, fmt.Errorf("host: identity seed: %w", errors.Join(err, errors.New("the LEDGER stream has no "+subject)))
	}
	var g genesis
	if err := json.Unmarshal(m.Data, &g); err != nil {
		return 0, fmt.Errorf("host: identity seed: %w", err)
	}
	seed, err := strconv.ParseUint(g.Seed, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("host: identity seed: %w", err)
	}
	return seed, nil
}

// Run processes the log until the context ends or a partition cannot go on.
func (h *Host) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for n, p := range h.partitions {
		group.Go(func() error { return p.keep(ctx) })
		group.Go(func() error { return h.outboxes[n].run(ctx) })
	}
	if !h.config.closedByCaller {
		group.Go(func() error { return h.closeDuePeriods(ctx) })
	}
	group.Go(func() error { return h.watchLog(ctx) })
	group.Go(func() error { return h.shadows.run(ctx) })
	group.Go(func() error { return h.deliverer.Run(ctx) })
	group.Go(func() error { return h.backfills.run(ctx) })
	if _, ok := h.store.(resettable); ok { // else nothing could be done about what it finds
		group.Go(func() error { return h.scrub(ctx) })
	}
	failpoint.Hit("open.running")
	h.running.Store(true)
	err := group.Wait()
	h.running.Store(false)
	close(h.ended)
	if err != nil {
		h.failure.Store(&err)
	}
	return err
}

// streamChecks is after how many looks at the log's owner the streams' configuration is
// checked too: once a minute by default.
const streamChecks = 6

// owned is a log of which another host may take possession.
type owned interface {
	Owned(ctx context.Context, epoch uint64) error
}

// watchLog stops the host when another one has taken the log over, also one that has nothing
// to write, and when a stream has been changed so that it could lose events.
func (h *Host) watchLog(ctx context.Context) error {
	ticker := time.NewTicker(h.config.OwnerCheckInterval)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := h.checkOwner(ctx)
		if err == nil && n%streamChecks == 0 {
			err = h.checkStreams(ctx)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case !errors.Is(err, stream.ErrUnavailable):
			return err
		case n%streamChecks == 0: // once a minute is enough to tell it
			h.log.Warn("the log's owner and its streams' configuration could not be checked", "error", err)
		}
	}
}

// checkOwner ends a host whose log is another one's.
func (h *Host) checkOwner(ctx context.Context) error {
	log, ok := h.conn.(owned)
	if !ok {
		return nil
	}
	if err := log.Owned(ctx, h.epoch); err != nil {
		if errors.Is(err, stream.ErrFenced) {
			return fmt.Errorf("host: another host has taken over these streams; this one must not go on: %w", err)
		}
		return fmt.Errorf("host: the owner of the log: %w", err)
	}
	return nil
}

// Ready says why the host cannot serve; nil when it can.
func (h *Host) Ready() error {
	if failure := h.failure.Load(); failure != nil {
		return *failure
	}
	if !h.running.Load() {
		return errors.New("host: not running yet")
	}
	return nil
}

// Now is the host's wall clock.
func (h *Host) Now() time.Time { return h.config.Now() }

// committed shows a partition's new checkpoint to readers and wakes its outbox.
func (h *Host) committed(p *partition, changed func(func(account string))) {
	p.pace.committedAt.Store(h.config.Now().UnixNano())
	h.queries.Committed(p.number, changed)
	h.outboxes[p.number].wake()
}

// Close releases everything. After a Run it waits for nothing: Run has ended.
func (h *Host) Close() error {
	ctx := context.Background() // closing must go on after the caller's context has ended
	var problems []error
	for _, p := range h.partitions {
		problems = append(problems, p.close(ctx))
	}
	problems = append(problems, h.histories.close(ctx))
	if h.backfills != nil {
		problems = append(problems, h.backfills.close(ctx))
	}
	if h.trials != nil {
		problems = append(problems, h.trials.rater.Close(ctx))
	}
	if h.endRuntime != nil {
		problems = append(problems, h.endRuntime(ctx))
	}
	if h.intake != nil {
		h.intake.Close()
	}
	if h.conn != nil {
		problems = append(problems, h.conn.Close())
	}
	if h.store != nil {
		problems = append(problems, h.store.Close())
	}
	return errors.Join(problems...)
}
