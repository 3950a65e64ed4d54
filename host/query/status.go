package query

import "time"

// Status says how a host is doing.
type Status struct {
	Problem     error // why it does not work on usage; nil when it does
	Now         time.Time
	Partitions  []PartitionStatus // by number
	Checkpoints CheckpointStatus
	StoreBytes  int64 // what the state takes on disk
}

// PartitionStatus says how far a partition has come.
type PartitionStatus struct {
	Partition       int
	Stream          string
	Position        uint64 // of the last message in a checkpoint
	ReadPosition    uint64 // of the last message read
	LogEnd          uint64 // of the log's last message; meaningless with LogProblem
	LogProblem      error  // why the log's end is not known
	Watermark       time.Time
	CatalogRevision uint64
	Counters        Counters
	CheckpointedAt  time.Time // of the last checkpoint since the start; zero without one
	Health          Health
}

// Health says whether a partition's state can be relied on.
type Health struct {
	Condition string    // "serving", "rebuilding" or "parked"
	Reason    string    // why it does not serve
	Target    uint64    // position from which on it serves again; 0 while it serves
	Digest    string    // of the state at Position
	Anchored  uint64    // position of the last anchor in the ledger, 0 for none yet
	Rebuilds  int       // since the start
	Verified  time.Time // when the state was last read in full; zero for not since the start
	Verifying uint64    // bytes read of the pass under way
	OfBytes   uint64    // that the pass has; 0 while there is none
}

// Lag is how many messages are not read yet.
func (p PartitionStatus) Lag() uint64 {
	if p.LogProblem != nil || p.LogEnd < p.ReadPosition {
		return 0 // it has read on since the log was asked
	}
	return p.LogEnd - p.ReadPosition
}

// CheckpointStatus says how long the checkpoints since the start took, and how long
// partitions waited for them.
type CheckpointStatus struct {
	Count                              uint64
	DurationP50, DurationP99, Duration time.Duration // of half, of 99 in 100, of all at most
	StallP50, StallP99, Stall          time.Duration
}

// SnapshotHead says what a snapshot of a partition is of.
type SnapshotHead struct {
	StoreID         string // of the data directory
	Partition       int
	Partitions      int // that the log has
	Stream          string
	Position        uint64 // of the checkpoint; 0 before the first message
	LogDigest       string // of the message that stands there, which tells logs apart
	Checkpoint      uint64 // its number; 0 when there was none yet
	Digest          string // of the state
	CatalogRevision uint64
	Bytes           uint64 // of the state; the snapshot is a little longer
	At              time.Time
	Deliveries      []DeliveryProgress // of partition 0 only
}

// DeliveryProgress is how far a receiver of invoices has come.
type DeliveryProgress struct {
	Sink     string `json:"sink"`
	Progress []byte `json:"progress"` // what is kept of it, see package deliver
}
