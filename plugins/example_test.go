package plugins_test

import (
	"context"
	"fmt"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// A tariff is loaded once, configured in an instance, and then called with batches. The state and
// the lines of a slot go in and come out with each.
func Example() {
	ctx := context.Background()
	runtime, err := plugins.NewRuntime(ctx, plugins.Config{CacheDir: cacheDir})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer runtime.Close(ctx)
	module, err := runtime.Load(ctx, guestWasm)
	if err != nil {
		fmt.Println(err)
		return
	}
	instance, err := module.NewInstance(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	plans, err := instance.Configure(ctx, []plugins.ConfigRequest{{Tariff: "sum", Currency: "EUR"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	batch := &plugins.Batch{
		Slots: []plugins.Slot{{Plan: plans[0], New: true}},
		Events: []plugins.Event{
			{Quantity: billing.MustDecimal("1.5")},
			{Quantity: billing.MustDecimal("4"), Time: doReject},
			{Quantity: billing.MustDecimal("2")},
		},
	}
	rejects, err := instance.Price(ctx, batch)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(plans[0].Lines[0].Description, batch.Slots[0].Line(0).Quantity)
	for _, r := range rejects {
		fmt.Println("event", r.Event, "is not priced:", r.Reason)
	}
	// Output:
	// Sum 3.5
	// event 1 is not priced: no_price
}

// What is not a tariff is refused with a sentence for the person who gave it.
func ExampleRuntime_Load() {
	ctx := context.Background()
	runtime, err := plugins.NewRuntime(ctx, plugins.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer runtime.Close(ctx)
	_, err = runtime.Load(ctx, []byte("#!/bin/sh\n"))
	fmt.Println(err)
	// Output:
	// not a WebAssembly module (starts with "#!/bin/sh\n"): build the tariff with `tollway plugin build FOLDER` and give the .wasm file that it writes
}
