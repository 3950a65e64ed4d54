//go:build !unix

package host

import "time"

// processorTime is not told on this system.
func processorTime() time.Duration { return 0 }
