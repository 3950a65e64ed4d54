package memory_test

import (
	"testing"
	"unsafe"

	"github.com/tollway/tollway/host/internal/memory"
)

// Neither changes what memory holds, and no length or address is wrong.
func TestAheadAndLargeChangeNothing(t *testing.T) {
	b := make([]byte, 6<<20)
	for i := range b {
		b[i] = byte(i * 7)
	}
	for _, n := range []uintptr{0, 1, 63, 64, 65, 4096, uintptr(len(b))} {
		memory.Ahead(unsafe.Pointer(&b[5]), min(n, uintptr(len(b)-5)))
		memory.Large(unsafe.Pointer(&b[0]), n)
	}
	memory.Ahead(nil, 0)
	memory.Ahead(nil, 1<<12)
	memory.Ahead(unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b))+1<<12)
	for i := range b {
		if b[i] != byte(i*7) {
			t.Fatalf("byte %d has changed", i)
		}
	}
}

// What is read ahead costs a fraction of what is read as it is needed.
func BenchmarkAhead(b *testing.B) {
	const lines = 1 << 22
	big := make([][64]byte, lines)
	memory.Large(unsafe.Pointer(&big[0]), lines*64)
	for i := range big {
		big[i][0] = byte(i)
	}
	for _, ahead := range []int{0, 8, 16} {
		b.Run("lines="+string(rune('0'+ahead/8)), func(b *testing.B) {
			at, sum := uint64(1), 0
			var next [32]uint64
			for i := range b.N {
				at = at*6364136223846793005 + 1442695040888963407
				place := &next[i%32]
				if ahead > 0 {
					later := at >> 42
					memory.Ahead(unsafe.Pointer(&big[later]), 1)
					now := next[(i+32-ahead)%32]
					*place = later
					sum += int(big[now][0])
					continue
				}
				sum += int(big[at>>42][sum&1])
			}
			if sum == -1 {
				b.Fatal("impossible")
			}
		})
	}
}
