//go:build race

package checkpoint

// raceEnabled says that the race detector watches.
const raceEnabled = true
