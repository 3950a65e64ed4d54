package plugins

// Restore puts an instance back to its snapshot, as before a call, for benchmarks.
func Restore(i *Instance) { i.restore() }

// ImageBytes is the size of the memory image that a restore copies.
func ImageBytes(i *Instance) int { return len(i.snapshot.image) }

// FuelLeft returns the fuel that the last unit of the last call left, and what the units of that
// call left of their pool.
func FuelLeft(i *Instance) (fuel, pool int64) {
	return int64(i.control.fuel.Get()), int64(i.control.pool.Get())
}
