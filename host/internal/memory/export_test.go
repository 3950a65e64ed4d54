//go:build linux && (amd64 || arm64)

package memory

// HeapRanges is heapRanges, for its test.
var HeapRanges = heapRanges
