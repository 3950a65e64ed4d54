package host

import (
	"math/bits"
	"sync/atomic"
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

// CheckpointStats returns the figures of all partitions.
func (h *Host) CheckpointStats() CheckpointStats {
	var commit, stall durations
	for _, p := range h.partitions {
		commit.merge(&p.pace.commit)
		stall.merge(&p.pace.stall)
	}
	return CheckpointStats{Commits: commit.count(), Duration: commit.quantiles(), Stall: stall.quantiles()}
}

// pace is how a partition's checkpoints go.
type pace struct {
	commit, stall durations
	committedAt   atomic.Int64 // when the last one was durable, unix ns; 0 before the first
}

// Durations fall into buckets by their highest bits: each is at most an eighth
// wide of what it holds.
const (
	durationSubBits = 3
	durationBuckets = 64 << durationSubBits
)

// durations counts durations. It is safe for concurrent use.
type durations struct {
	buckets [durationBuckets]atomic.Uint64
	longest atomic.Int64
}

func (d *durations) add(t time.Duration) {
	n := uint64(max(t, 0))
	d.buckets[durationBucket(n)].Add(1)
	for {
		longest := d.longest.Load()
		if int64(n) <= longest || d.longest.CompareAndSwap(longest, int64(n)) {
			return
		}
	}
}

func durationBucket(n uint64) int {
	shift := max(0, bits.Len64(n)-1-durationSubBits)
	return shift<<durationSubBits + int(n>>shift)
}

// durationIn returns the upper end of a bucket.
func durationIn(bucket int) time.Duration {
	if bucket < 2<<durationSubBits {
		return time.Duration(bucket)
	}
	shift := bucket>>durationSubBits - 1
	return time.Duration((uint64(bucket)-uint64(shift)<<durationSubBits+1)<<shift - 1)
}

func (d *durations) merge(o *durations) {
	for i := range d.buckets {
		d.buckets[i].Add(o.buckets[i].Load())
	}
	d.longest.Store(max(d.longest.Load(), o.longest.Load()))
}

func (d *durations) count() (n uint64) {
	for i := range d.buckets {
		n += d.buckets[i].Load()
	}
	return n
}

func (d *durations) quantiles() Quantiles {
	return Quantiles{P50: d.at(50), P99: d.at(99), Max: time.Duration(d.longest.Load())}
}

// at returns the duration that percent of all do not exceed.
func (d *durations) at(percent uint64) time.Duration {
	rank, seen := (d.count()*percent+99)/100, uint64(0)
	for i := range d.buckets {
		if seen += d.buckets[i].Load(); seen >= rank && seen > 0 {
			return min(durationIn(i), time.Duration(d.longest.Load()))
		}
	}
	return 0
}

// StoreStats returns the figures of the state store.
func (h *Host) StoreStats() checkpoint.Stats { return h.store.Stats() }

// StoreBytes returns the space that the state takes on the disk.
func (h *Host) StoreBytes() (int64, error) { return h.store.DiskBytes() }
