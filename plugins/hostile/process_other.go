//go:build !linux

package hostile

import "time"

// threadTime stands for the processor time of this thread, which is not to be had.
//
//nolint:forbidigo // it measures
func threadTime() time.Duration { return time.Duration(time.Now().UnixNano()) }

// memoryWatch stands for what the system does not tell.
type memoryWatch struct{}

func watchMemory() memoryWatch { return memoryWatch{} }

func (memoryWatch) peak() int64 { return 0 }
