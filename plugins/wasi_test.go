package plugins

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestWASIHostilePointers calls every function with pointers and lengths of all kinds: it may
// refuse, and it may write into the plugin's memory, but it must not bring down the host.
func TestWASIHostilePointers(t *testing.T) {
	i := smallTariff(t, true)
	random := rand.New(rand.NewPCG(3, 4))
	odd := []uint64{0, 1, 7, 1 << 16, 1<<22 - 1, 1 << 22, 1<<26 - 1, 1 << 26, 1<<31 - 1, 1 << 31, 1<<32 - 8, 1<<32 - 1, 1 << 32, 1<<64 - 1}
	for _, f := range wasiFunctions {
		if f.name == "proc_exit" {
			continue
		}
		for range 2_000 {
			stack := make([]uint64, max(len(f.params), 1))
			for k := range stack {
				stack[k] = odd[random.IntN(len(odd))]
			}
			switch got := f.call(i, stack); got {
			case errnoSuccess, errnoBadf, errnoInval, errnoNosys:
			default:
				t.Fatalf("%s answered %d", f.name, got)
			}
			if len(i.log) > logMax {
				t.Fatalf("a log of %d bytes", len(i.log))
			}
		}
		i.restore()
	}
}

func TestWASIExit(t *testing.T) {
	defer func() {
		if e, ok := recover().(exitError); !ok || e.code != 7 {
			t.Errorf("it ended with %v", e)
		}
	}()
	exit(nil, []uint64{7})
}

// TestWASIEnvironment reads the environment as a plugin does.
func TestWASIEnvironment(t *testing.T) {
	i := smallTariff(t, true)
	if environSizes(i, []uint64{100, 104}) != errnoSuccess || environGet(i, []uint64{200, 300}) != errnoSuccess {
		t.Fatal("it was refused")
	}
	u32 := func(at int) int { return int(binary.LittleEndian.Uint32(i.memory[at:])) }
	count, size := u32(100), u32(104)
	text := string(i.memory[300 : 300+size])
	if want := "GOGC=off\x00GOMEMLIMIT=50331648\x00"; count != 2 || text != want {
		t.Errorf("%d variables, %q, want %q", count, text, want)
	}
	if u32(200) != 300 || u32(204) != 300+len("GOGC=off")+1 {
		t.Errorf("they point to %d and %d", u32(200), u32(204))
	}
	if noArguments(i, []uint64{100, 104}) != errnoSuccess || u32(100) != 0 || u32(104) != 0 {
		t.Error("there are arguments")
	}
}

// TestWASIRandom holds that random numbers start anew with each call, go on within one, and are
// bounded.
func TestWASIRandom(t *testing.T) {
	i := smallTariff(t, true)
	read := func(n int) []byte {
		if random(i, []uint64{1_000, uint64(n)}) != errnoSuccess {
			t.Fatal("it was refused")
		}
		return bytes.Clone(i.memory[1_000 : 1_000+n])
	}
	first, second := read(64), read(64)
	if bytes.Equal(first, second) || bytes.Equal(first, make([]byte, 64)) {
		t.Error("the numbers are not random")
	}
	i.restore()
	if !bytes.Equal(first, read(64)) {
		t.Error("they do not start anew")
	}
	if random(i, []uint64{1_000, randomMax}) != errnoInval {
		t.Error("they are not bounded")
	}
}

// TestWASILog holds that output is gathered from its pieces, cut at its limit, and reported as
// written in full.
func TestWASILog(t *testing.T) {
	i := smallTariff(t, true)
	copy(i.memory[2_000:], "hello, ")
	copy(i.memory[3_000:], strings.Repeat("x", 5_000))
	for k, v := range []uint32{2_000, 7, 3_000, 5_000} {
		binary.LittleEndian.PutUint32(i.memory[100+4*k:], v)
	}
	if write(i, []uint64{2, 100, 2, 200}) != errnoSuccess {
		t.Fatal("it was refused")
	}
	if got := binary.LittleEndian.Uint32(i.memory[200:]); got != 5_007 || len(i.log) != logMax || !bytes.HasPrefix(i.log, []byte("hello, xxx")) {
		t.Errorf("%d bytes written, a log of %d", got, len(i.log))
	}
	if write(i, []uint64{3, 100, 2, 200}) != errnoBadf || write(i, []uint64{1, 100, iovecsMax + 1, 200}) != errnoInval {
		t.Error("a file or too many pieces were accepted")
	}
}

// TestWASIPoll wakes a sleeper at once, and tells who waits for input that there is none.
func TestWASIPoll(t *testing.T) {
	i := smallTariff(t, true)
	binary.LittleEndian.PutUint64(i.memory[1_000:], 77)
	binary.LittleEndian.PutUint64(i.memory[1_048:], 78)
	i.memory[1_048+8] = 1
	if poll(i, []uint64{1_000, 2_000, 2, 3_000}) != errnoSuccess {
		t.Fatal("it was refused")
	}
	event := func(k int) (name uint64, errno uint16, kind byte) {
		b := i.memory[2_000+32*k:]
		return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint16(b[8:]), b[10]
	}
	if name, errno, kind := event(0); name != 77 || errno != errnoSuccess || kind != 0 {
		t.Errorf("the clock answered %d %d %d", name, errno, kind)
	}
	if name, errno, kind := event(1); name != 78 || errno != errnoBadf || kind != 1 {
		t.Errorf("the file answered %d %d %d", name, errno, kind)
	}
	if binary.LittleEndian.Uint32(i.memory[3_000:]) != 2 {
		t.Error("not two events")
	}
}

func TestWASISignatures(t *testing.T) {
	for _, f := range wasiFunctions {
		params, results := f.types()
		if len(params) != len(f.params) || (len(results) == 1) != f.result {
			t.Errorf("%s has the types %v, %v", f.name, params, results)
		}
	}
	f := wasiFunctions[3]
	if f.name != "clock_time_get" || f.signature() != "(i32, i64, i32) -> (i32)" {
		t.Errorf("%s %s", f.name, f.signature())
	}
}
