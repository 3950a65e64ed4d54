//go:build !linux

package plugins

import "time"

// threadTime stands for the processor time of this thread, which is not to be had: with it, a machine under load
// cuts batches finer than it need.
func threadTime() time.Duration { return time.Duration(time.Now().UnixNano()) }
