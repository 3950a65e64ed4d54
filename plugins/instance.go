package plugins

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/tollway/tollway/plugins/fuel"
	"github.com/tollway/tollway/sdk/abi"
)

// Instance is one memory of a plugin. It belongs to one goroutine at a time: none of its methods
// may be called concurrently.
type Instance struct {
	module  *Module
	api     api.Module
	context context.Context // carries the instance to the host functions, see instanceKey
	linear  linearMemory
	memory  []byte // all of it, at its declared size
	control control
	state   []api.MutableGlobal // what a snapshot holds beside the memory

	configure, price api.Function
	stack            [2]uint64

	arena    []byte // the part of memory that the host writes; empty until the first Configure
	arenaPtr uint32
	used     int    // bytes of the arena that were written since they were last zeroed
	calls    uint64 // see Calls
	snapshot snapshot

	requests []ConfigRequest
	plans    []*Plan
	held     int64 // bytes of the requests that were taken

	fuelUsed int64 // by the calls of the last Price
	pool     int64 // see poolFirst

	// What host functions keep; all of it starts anew with each call.
	randomState, randomUsed uint64
	log                     []byte

	work work
}

// control are the globals that the rewriter added as parameters of a call.
type control struct {
	fuel, perUnit, pool, cursor, first, units, depth, trap, pages, begun api.MutableGlobal
}

// NewInstance starts an instance: memory of its own, initialized, nothing configured.
//
// # Errors
//
// A plugin that traps or exits while it is initialized, or that was built for a newer minor of the
// ABI; too little memory on this machine.
func (m *Module) NewInstance(ctx context.Context) (*Instance, error) {
	i := &Instance{module: m, log: make([]byte, 0, logMax), pool: m.poolAtFirst()}
	if err := i.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("plugin %s cannot be started: %w", m.label(), err), i.Close(ctx))
	}
	return i, nil
}

// label names a plugin for people.
func (m *Module) label() string {
	return fmt.Sprintf("%s %s (%s)", m.manifest.Name, m.manifest.Version, m.digest[:len("sha256:")+12])
}

// start makes the memory and brings the plugin to the point where it can be configured.
func (i *Instance) start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := i.instantiate(ctx); err != nil {
		return err
	}
	i.resetHost()
	if i.module.initialize {
		if _, err := i.call(i.api.ExportedFunction(abi.ExportInitialize), budget{fuel: i.module.fuelStart}); err != nil {
			return fmt.Errorf("its initialization failed: %w", err)
		}
	}
	minor, err := i.call(i.api.ExportedFunction(abi.ExportMarker), budget{fuel: abi.FuelBase})
	if err != nil {
		return err
	}
	if minor < 0 || minor > abi.Minor {
		return checkABI(fmt.Sprintf("%d.%d", abi.Major, minor))
	}
	i.configure = i.api.ExportedFunction(abi.ExportConfigure)
	i.price = i.api.ExportedFunction(abi.ExportPrice)
	return nil
}

// instantiate makes the module's instance and finds its globals.
func (i *Instance) instantiate(ctx context.Context) (err error) {
	defer func() {
		// The runtime has no error for a memory that cannot be had; it panics.
		if r := recover(); r != nil {
			err = fmt.Errorf("its memory of %d KiB cannot be had (%v)", uint64(i.module.rewritten.PagesMax)*pageSize>>10, r)
		}
	}()
	i.context = context.WithValue(context.Background(), instanceKey{}, i)
	with := experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(i.linear.allocate))
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	if i.api, err = i.module.runtime.InstantiateModule(with, i.module.compiled, config); err != nil {
		return fmt.Errorf("it cannot be instantiated: %s", crashText(err))
	}
	i.module.register(i)
	i.memory = i.linear.bytes
	var missing error
	global := func(name string) api.MutableGlobal {
		g, ok := i.api.ExportedGlobal(name).(api.MutableGlobal)
		if !ok {
			missing = fmt.Errorf("the rewritten module has no global %s", name)
		}
		return g
	}
	i.control = control{
		fuel: global(fuel.GlobalFuel), perUnit: global(fuel.GlobalFuelPerUnit), pool: global(fuel.GlobalPool),
		cursor: global(fuel.GlobalCursor), first: global(fuel.GlobalFirst), units: global(fuel.GlobalUnits), depth: global(fuel.GlobalDepth),
		trap: global(fuel.GlobalTrap), pages: global(fuel.GlobalPages), begun: global(fuel.GlobalBegun),
	}
	i.state = i.state[:0]
	for _, name := range i.module.rewritten.State {
		i.state = append(i.state, global(name))
	}
	return missing
}

// Close frees the instance's memory. It may be called twice. An instance that is not closed goes
// with its runtime.
func (i *Instance) Close(ctx context.Context) error {
	if i.api == nil {
		return nil
	}
	i.module.forget(i)
	err := i.api.Close(ctx)
	i.api, i.memory, i.arena = nil, nil, nil
	i.snapshot.release()
	return err
}

// Calls returns how many calls into the plugin pricing has taken so far: one for a batch that fits
// into the arena, more for a larger one, and more again when the plugin traps or runs out of fuel.
func (i *Instance) Calls() uint64 { return i.calls }

// Module returns the module of which this is an instance.
func (i *Instance) Module() *Module { return i.module }

// budget is what a call may use.
type budget struct {
	fuel  int64 // before the first unit
	pool  int64 // for the units together
	units int
}

// call calls a function with the arguments in i.stack and returns its result. The error is a
// *trap.
func (i *Instance) call(f api.Function, b budget) (result int32, err error) {
	c := &i.control
	c.fuel.Set(uint64(b.fuel))
	c.pool.Set(uint64(b.pool))
	c.perUnit.Set(uint64(i.module.fuelPerUnit))
	c.units.Set(uint64(b.units))
	c.cursor.Set(uint64(uint32(1<<32 - 1)))
	c.first.Set(uint64(uint32(1<<32 - 1)))
	c.depth.Set(fuel.DepthMax)
	c.trap.Set(0)
	c.begun.Set(0)
	err = f.CallWithStack(i.context, i.stack[:])
	if len(i.log) > 0 && i.module.log != nil {
		i.module.log(i.module.digest, i.log)
	}
	// Below zero, the charge that was not granted is gone as well.
	i.fuelUsed += b.fuel + b.pool - max(int64(c.fuel.Get()), 0) - max(int64(c.pool.Get()), 0)
	if err == nil {
		return int32(uint32(i.stack[0])), nil
	}
	cause := fuel.CauseOf(int64(c.fuel.Get()), int64(c.depth.Get()), int32(uint32(c.trap.Get())))
	return 0, &trap{cause: cause, text: i.describe(cause, err)}
}

// FuelUsed returns the fuel that the last [Instance.Price] used, in all of its calls, those that were
// made again included. Beside the manifest's FuelPerEvent it tells how much room a tariff has.
func (i *Instance) FuelUsed() int64 { return i.fuelUsed }

// cursor is the last of the units that began last, -1 for none.
func (i *Instance) cursor() int { return int(int32(uint32(i.control.cursor.Get()))) }

// together tells whether several units began last.
func (i *Instance) together() bool { return i.control.first.Get() != i.control.cursor.Get() }

// resetHost puts back what host functions keep.
func (i *Instance) resetHost() {
	i.randomState, i.randomUsed = randomSeed, 0
	i.log = i.log[:0]
}
