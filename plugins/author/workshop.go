package author

import (
	"context"
	"errors"
	"fmt"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/abi"
)

// Workshop is a module at hand: loaded by the engine's own loader, and, where the tariff can run natively, the program
// that is its twin. It is for one goroutine.
type Workshop struct {
	runtime *plugins.Runtime
	module  *plugins.Module
	native  *native // nil without one
}

// Open loads a module. The folder cache keeps compiled code; empty means none. Close must be called.
//
// # Errors
//
// The engine refuses the module.
func Open(ctx context.Context, wasm []byte, cache string) (*Workshop, error) {
	r, err := plugins.NewRuntime(ctx, plugins.Config{CacheDir: cache})
	if err != nil {
		return nil, err
	}
	m, err := r.Load(ctx, wasm)
	if err != nil {
		return nil, errors.Join(err, r.Close(context.WithoutCancel(ctx)))
	}
	return &Workshop{runtime: r, module: m}, nil
}

// UseNative gives the tariff's own program, built for this machine, to compare with: see [tariff.Module.Main]. The
// program is started when it is first needed.
func (w *Workshop) UseNative(program string) { w.native = &native{program: program} }

// Close ends what the workshop started.
func (w *Workshop) Close(ctx context.Context) error {
	var err error
	if w.native != nil {
		err = w.native.Close()
	}
	return errors.Join(err, w.runtime.Close(ctx))
}

// Module is the module as the engine has loaded it.
func (w *Workshop) Module() *plugins.Module { return w.module }

// fuelPerEvent is the budget of one unit of work.
func (w *Workshop) fuelPerEvent() int64 {
	if n := w.module.Manifest().FuelPerEvent; n > 0 {
		return n
	}
	return abi.FuelPerEvent
}

// instance starts an instance with the configuration of a case.
func (w *Workshop) instance(ctx context.Context, c *Case) (*plugins.Instance, *plugins.Plan, error) {
	i, err := w.module.NewInstance(ctx)
	if err != nil {
		return nil, nil, err
	}
	plans, err := i.Configure(ctx, []plugins.ConfigRequest{c.request(w.module)})
	if err != nil {
		return nil, nil, errors.Join(err, i.Close(ctx))
	}
	return i, plans[0], nil
}

// refusal is the message with which a tariff refused parameters; ok is false for any other error.
func refusal(err error) (message string, ok bool) {
	var refused *plugins.ConfigError
	if errors.As(err, &refused) && refused.Unwrap() == nil {
		return refused.Message, true
	}
	return "", false
}

// unknownTariff says which tariff a case lacks.
func (w *Workshop) unknownTariff(c *Case) error {
	if name := c.request(w.module).Tariff; name == "" {
		return fmt.Errorf("%s: names no tariff, and the module has several: write tariff: NAME", c.label())
	}
	return nil
}

// NativeProgram is the program that [Workshop.UseNative] was given; empty without one.
func (w *Workshop) NativeProgram() string {
	if w.native == nil {
		return ""
	}
	return w.native.program
}
