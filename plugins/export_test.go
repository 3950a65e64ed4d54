package plugins

// Restore puts an instance back to its snapshot, as before a call, for benchmarks.
func Restore(i *Instance) { i.restore() }

// ImageBytes is the size of the memory image that a restore copies.
func ImageBytes(i *Instance) int { return len(i.snapshot.image) }
