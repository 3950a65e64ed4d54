//go:build !unix

package serving

import "time"

// processorTime is 0: it is measured on Unix alone.
func processorTime() time.Duration { return 0 }
