package host

import (
	"time"

	"github.com/tollway/tollway/host/checkpoint"
)

// CheckpointStats says how long the checkpoints of all partitions have taken
// since the host was opened.
type CheckpointStats struct {
	Commits uint64 // checkpoints committed
	// Duration is from the moment at which a checkpoint's content stands to the
	// moment at which it is durable and shown to readers.
	Duration Quantiles
	// Stall is how long a partition did nothing else for a checkpoint: copying
	// what goes into it, and waiting for the one before.
	Stall Quantiles
}

// Quantiles are times that half of the cases, ninety-nine in a hundred, and all
// of them did not exceed.
type Quantiles struct {
	P50, P99, Max time.Duration
}

// StoreStats returns the figures of the state store.
func (h *Host) StoreStats() checkpoint.Stats { return h.store.Stats() }

// StoreBytes returns the space that the state takes on the disk.
func (h *Host) StoreBytes() (int64, error) { return h.store.DiskBytes() }
