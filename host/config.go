package host

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/deliver"
	"github.com/tollway/tollway/host/identity"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/abi"
)

// DefaultPartitions is how many partitions a new log has.
const DefaultPartitions = 8

// MaxPartitions is the most that a log can have.
const MaxPartitions = 1024

// ownerCheckInterval is how often a host looks whether the log is still its own.
const ownerCheckInterval = 10 * time.Second

// Config says where a host keeps its state and where its log is.
type Config struct {
	// DataDir holds the state, the compiled plugins and, for an embedded server,
	// the log. It belongs to one host.
	DataDir string
	// Partitions is fixed when the streams are made.
	Partitions int
	// NATS is the log: an external server, or one embedded in the process.
	NATS stream.Config
	// TakeOver claims streams that another data directory owns. It is recorded in
	// the ledger; the other host can no longer publish anything.
	TakeOver bool
	// Log gets what an operator should see.
	Log *slog.Logger
	// Now is the wall clock. It decides when periods are due, never a price.
	Now func() time.Time
	// Turns is how many partitions work at once; 0 means as many as Go's scheduler has
	// processors. What [ShareProcessors] returns keeps some of them for queries.
	Turns int
	// PluginCache holds compiled plugins; empty is a folder of the data directory.
	// Hosts may share one.
	PluginCache string
	// Plugins says which plugins may be applied. The zero value takes any.
	Plugins PluginPolicy
	// Deliveries are the receivers of issued invoices.
	Deliveries []deliver.Sink
	// Temporary makes a small state store that is not synced: for a directory that
	// is thrown away with the process.
	Temporary bool
	// FreeMinBytes is the space that has to stay free on the disk of the state:
	// below, no checkpoint is written, and a partition stops reading soon after. 0
	// is what the state store holds for right.
	FreeMinBytes int64
	// ScrubInterval is the time between two passes over all that is stored;
	// DefaultScrubInterval when 0.
	ScrubInterval time.Duration
	// OwnerCheckInterval is the time between two looks at who owns the log: so long a host
	// that was taken over and has nothing to write goes on answering. 10 seconds when 0.
	OwnerCheckInterval time.Duration
	// Memory is what [HoldMemory] has returned; nil for a process that holds none.
	Memory *Memory

	// Parts stand in the place of NATS, the state's directory and a runtime of
	// plugins; nil is the real ones.
	Parts *Parts

	// closedByCaller keeps periods open until the caller closes them, whatever the
	// catalog says.
	closedByCaller bool
}

// Logs of a partition in the checkpoint store, beside those of package accumulate:
// the set of identities.
const (
	logRecent uint8 = iota + accumulate.Logs
	logPieces
	logFilters
)

// Journals lists the logs of a partition that the state store keeps as journals. A
// commit has room before each of their entries, see [checkpoint.Commit].
func Journals() []uint8 {
	return []uint8{accumulate.LogSlots, accumulate.LogIndex, logRecent, logPieces, logFilters}
}

// stateOptions are the options of the state store.
func (c Config) stateOptions() checkpoint.Options {
	o := checkpoint.DefaultOptions()
	if c.Temporary {
		o = checkpoint.SmallOptions()
		o.NoSync = true
	}
	if c.FreeMinBytes != 0 {
		o.FreeMinBytes = c.FreeMinBytes
	}
	o.Logger = c.Log
	o.Journals = Journals()
	return o
}

// identityOptions are the options of a set of identities with a horizon, unix ns.
func identityOptions(horizon int64) identity.Options {
	return identity.Options{Recent: logRecent, Pieces: logPieces, Filters: logFilters, Horizon: horizon}
}

// withDefaults fills what is not set.
func (c Config) withDefaults() Config {
	if c.Partitions == 0 {
		c.Partitions = DefaultPartitions
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.NATS.Log == nil {
		c.NATS.Log = c.Log // who reads it has to know that NATS is away
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.ScrubInterval == 0 {
		c.ScrubInterval = DefaultScrubInterval
	}
	if c.OwnerCheckInterval == 0 {
		c.OwnerCheckInterval = ownerCheckInterval
	}
	if c.Plugins.ShadowPercent == 0 {
		c.Plugins.ShadowPercent = DefaultShadowPercent
	}
	if c.PluginCache == "" {
		c.PluginCache = filepath.Join(c.DataDir, "plugins")
	}
	if c.NATS.Embedded != nil && c.DataDir != "" {
		e := *c.NATS.Embedded
		if e.StoreDir == "" {
			e.StoreDir = filepath.Join(c.DataDir, "nats")
		}
		e.Partitions = c.Partitions
		c.NATS.Embedded = &e
	}
	return c
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	if c.DataDir == "" {
		problems = append(problems, errors.New("the data directory is not set; pass --data DIR"))
	}
	if c.Partitions < 1 || c.Partitions > MaxPartitions {
		problems = append(problems, fmt.Errorf("%d partitions: there must be 1 to %d", c.Partitions, MaxPartitions))
	}
	if c.Plugins.ShadowPercent < 1 || c.Plugins.ShadowPercent > 100 {
		problems = append(problems, fmt.Errorf("shadows cannot use %d percent of a processor: there must be 1 to 100", c.Plugins.ShadowPercent))
	}
	if n := c.Plugins.FuelPerEventMax; n < 0 || n > abi.FuelPerEventMax {
		problems = append(problems, fmt.Errorf("plugins cannot have %d units of fuel for an event: there must be 0 to %d", n, abi.FuelPerEventMax))
	}
	if n := c.Plugins.FuelStartMax; n < 0 || n > abi.FuelStartMax {
		problems = append(problems, fmt.Errorf("plugins cannot have %d units of fuel for their start: there must be 0 to %d", n, abi.FuelStartMax))
	}
	switch {
	case c.Parts != nil:
		problems = append(problems, c.Parts.validate())
	case (c.NATS.URL == "") == (c.NATS.Embedded == nil):
		problems = append(problems, errors.New("either a NATS URL or the embedded server must be set, not both"))
	}
	return errors.Join(append(problems, deliver.Validate(c.Deliveries))...)
}
