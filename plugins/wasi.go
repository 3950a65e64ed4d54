package plugins

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/tollway/tollway/sdk/abi"
)

// Error numbers of wasi_snapshot_preview1.
const (
	errnoSuccess = 0
	errnoBadf    = 8
	errnoInval   = 28
	errnoNosys   = 52
)

// The world as a plugin sees it: it has always been this moment, and every number is random in the
// same way.
const (
	clockNanoseconds = 1_640_995_200_000_000_000 // 2022-01-01T00:00:00Z, for all clocks
	randomSeed       = 0x746f6c6c776179          // "tollway"
)

// Limits on what a call may ask of the host.
const (
	logMax    = 4 << 10  // bytes of output kept of a call
	randomMax = 64 << 10 // bytes of random numbers of a call
	iovecsMax = 1_024    // pieces of one fd_write
	pollsMax  = 64       // subscriptions of one poll_oneoff
)

// wasiFunction is one function of wasi_snapshot_preview1 with a constant answer, or one that reads
// and writes only the plugin's own memory.
type wasiFunction struct {
	name   string
	params string // i = i32, l = i64
	result bool   // an error number; proc_exit alone has none
	call   func(i *Instance, stack []uint64) uint64
}

// wasiFunctions is the subset that compilers' runtimes ask for. What is not in it is refused when
// a module is loaded.
var wasiFunctions = []wasiFunction{
	{"args_get", "ii", true, answer(errnoSuccess)},
	{"args_sizes_get", "ii", true, noArguments},
	{"clock_res_get", "ii", true, clockResolution},
	{"clock_time_get", "ili", true, clockTime},
	{"environ_get", "ii", true, environGet},
	{"environ_sizes_get", "ii", true, environSizes},
	{"fd_close", "i", true, answer(errnoBadf)},
	{"fd_fdstat_get", "ii", true, answer(errnoBadf)},
	{"fd_fdstat_set_flags", "ii", true, answer(errnoBadf)},
	{"fd_filestat_get", "ii", true, answer(errnoBadf)},
	{"fd_prestat_dir_name", "iii", true, answer(errnoBadf)},
	{"fd_prestat_get", "ii", true, answer(errnoBadf)},
	{"fd_read", "iiii", true, answer(errnoBadf)},
	{"fd_seek", "ilii", true, answer(errnoBadf)},
	{"fd_write", "iiii", true, write},
	{"path_filestat_get", "iiiii", true, answer(errnoNosys)},
	{"path_open", "iiiiillii", true, answer(errnoNosys)},
	{"poll_oneoff", "iiii", true, poll},
	{"proc_exit", "i", false, exit},
	{"random_get", "ii", true, random},
	{"sched_yield", "", true, answer(errnoSuccess)},
}

func (f *wasiFunction) types() (params, results []api.ValueType) {
	for _, c := range f.params {
		t := api.ValueTypeI32
		if c == 'l' {
			t = api.ValueTypeI64
		}
		params = append(params, t)
	}
	if f.result {
		results = []api.ValueType{api.ValueTypeI32}
	}
	return params, results
}

// signature writes the type as fuel.FuncType does.
func (f *wasiFunction) signature() string {
	names := make([]string, 0, len(f.params))
	for _, c := range f.params {
		names = append(names, map[rune]string{'i': "i32", 'l': "i64"}[c])
	}
	if f.result {
		return "(" + strings.Join(names, ", ") + ") -> (i32)"
	}
	return "(" + strings.Join(names, ", ") + ") -> ()"
}

// instanceKey finds the instance that a host function is called from. One set of host functions
// serves all instances, and each passes itself along with the context of its calls.
type instanceKey struct{}

// instantiateHost defines what plugins may import.
func instantiateHost(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(abi.ImportWASI)
	for k := range wasiFunctions {
		f := &wasiFunctions[k]
		params, results := f.types()
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
			value := f.call(ctx.Value(instanceKey{}).(*Instance), stack)
			if f.result {
				stack[0] = value
			}
		}), params, results).Export(f.name)
	}
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("defining %s: %w", abi.ImportWASI, err)
	}
	i32 := api.ValueTypeI32
	abort := api.GoModuleFunc(func(context.Context, api.Module, []uint64) {
		// A panic is how a host function traps; the runtime turns it into an error of the call.
		panic(errAborted) //nolint:forbidigo // see above
	})
	_, err := r.NewHostModuleBuilder(abi.ImportEnv).NewFunctionBuilder().
		WithGoModuleFunction(abort, []api.ValueType{i32, i32, i32, i32}, nil).Export(abi.ImportEnvAbort).
		Instantiate(ctx)
	if err != nil {
		return fmt.Errorf("defining %s: %w", abi.ImportEnv, err)
	}
	return nil
}

var errAborted = errors.New("an assertion failed (abort)")

// exitError is the trap of proc_exit.
type exitError struct{ code uint32 }

func (e exitError) Error() string {
	return fmt.Sprintf("the plugin ended itself with exit code %d", e.code)
}

func answer(errno uint64) func(*Instance, []uint64) uint64 {
	return func(*Instance, []uint64) uint64 { return errno }
}

// exit traps, as abort does.
func exit(_ *Instance, stack []uint64) uint64 {
	panic(exitError{code: uint32(stack[0])}) //nolint:forbidigo // the way for a host function to trap
}

// put writes two numbers into the plugin's memory, as most size queries want.
func (i *Instance) put(at0 uint64, v0 uint32, at1 uint64, v1 uint32) uint64 {
	a, b := i.window(at0, 4), i.window(at1, 4)
	if a == nil || b == nil {
		return errnoInval
	}
	binary.LittleEndian.PutUint32(a, v0)
	binary.LittleEndian.PutUint32(b, v1)
	return errnoSuccess
}

// window returns n bytes of the plugin's memory, or nil when they are not there.
func (i *Instance) window(at uint64, n uint64) []byte {
	at = uint64(uint32(at))
	if n > uint64(len(i.memory)) || at > uint64(len(i.memory))-n {
		return nil
	}
	return i.memory[at : at+n]
}

func noArguments(i *Instance, stack []uint64) uint64 { return i.put(stack[0], 0, stack[1], 0) }

func environSizes(i *Instance, stack []uint64) uint64 {
	bytes := 0
	for _, v := range i.module.environment {
		bytes += len(v) + 1
	}
	return i.put(stack[0], uint32(len(i.module.environment)), stack[1], uint32(bytes))
}

func environGet(i *Instance, stack []uint64) uint64 {
	pointers, at := stack[0], stack[1]
	for _, v := range i.module.environment {
		p, text := i.window(pointers, 4), i.window(at, uint64(len(v)+1))
		if p == nil || text == nil {
			return errnoInval
		}
		binary.LittleEndian.PutUint32(p, uint32(at))
		text[copy(text, v)] = 0
		pointers, at = pointers+4, at+uint64(len(v)+1)
	}
	return errnoSuccess
}

func clockTime(i *Instance, stack []uint64) uint64 {
	b := i.window(stack[2], 8)
	if b == nil {
		return errnoInval
	}
	binary.LittleEndian.PutUint64(b, clockNanoseconds)
	return errnoSuccess
}

func clockResolution(i *Instance, stack []uint64) uint64 {
	b := i.window(stack[1], 8)
	if b == nil {
		return errnoInval
	}
	binary.LittleEndian.PutUint64(b, 1)
	return errnoSuccess
}

// random fills memory from a stream that starts anew with every call into the plugin.
func random(i *Instance, stack []uint64) uint64 {
	n := uint64(uint32(stack[1]))
	b := i.window(stack[0], n)
	if b == nil || n > randomMax-i.randomUsed {
		return errnoInval
	}
	i.randomUsed += n
	for k := range b {
		if k%8 == 0 {
			i.randomState += 0x9e3779b97f4a7c15
		}
		z := i.randomState // splitmix64
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		b[k] = byte(z >> (k % 8 * 8))
	}
	return errnoSuccess
}

// poll wakes up at once, without a moment having passed. Go's runtime pauses in this way before it
// prints a panic, which would be lost if the call failed; a tariff that sleeps waits for a time
// that never comes, until its fuel is gone.
func poll(i *Instance, stack []uint64) uint64 {
	const (
		subscriptionSize, eventSize = 48, 32
		tagAt, errnoAt, typeAt      = 8, 8, 10
	)
	count := uint64(uint32(stack[2]))
	if count == 0 || count > pollsMax {
		return errnoInval
	}
	in, out := i.window(stack[0], count*subscriptionSize), i.window(stack[1], count*eventSize)
	if in == nil || out == nil {
		return errnoInval
	}
	for ; len(in) > 0; in, out = in[subscriptionSize:], out[eventSize:] {
		tag := in[tagAt]
		clear(out[8:eventSize])
		copy(out, in[:8]) // the caller's name for the subscription
		out[typeAt] = tag
		if tag != 0 { // not a clock: there is nothing to read or write
			binary.LittleEndian.PutUint16(out[errnoAt:], errnoBadf)
		}
	}
	return i.put(stack[3], uint32(count), stack[3], uint32(count))
}

// write takes output to standard output and standard error into the log of the call. What exceeds
// the log is dropped and reported as written: a plugin must not behave differently for it.
func write(i *Instance, stack []uint64) uint64 {
	if fd := uint32(stack[0]); fd != 1 && fd != 2 {
		return errnoBadf
	}
	count := uint64(uint32(stack[2]))
	if count > iovecsMax {
		return errnoInval
	}
	vecs := i.window(stack[1], count*8)
	if vecs == nil {
		return errnoInval
	}
	var total uint32
	for ; len(vecs) > 0; vecs = vecs[8:] {
		n := binary.LittleEndian.Uint32(vecs[4:])
		text := i.window(uint64(binary.LittleEndian.Uint32(vecs)), uint64(n))
		if text == nil {
			return errnoInval
		}
		total += n
		i.log = append(i.log, text[:min(len(text), logMax-len(i.log))]...)
	}
	return i.put(stack[3], total, stack[3], total)
}
