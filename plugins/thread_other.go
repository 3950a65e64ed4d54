//go:build !linux

package plugins

import "time"

// threadTime stands for the processor time of this thread, which is not to be had: with it, a machine under load
// cuts batches finer than it need.
//
//nolint:forbidigo // it decides how a batch is cut, which changes no result
func threadTime() time.Duration { return time.Duration(time.Now().UnixNano()) }
