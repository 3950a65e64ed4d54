//go:build !failpoints

package failpoint

import "time"

// Enabled reports whether the program was built with the tag failpoints.
const Enabled = false

// Hit does nothing.
func Hit(string) {}

// Clock returns nil: the program has the machine's clock.
func Clock() func() time.Time { return nil }
