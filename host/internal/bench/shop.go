package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/builtin"
	"github.com/tollway/tollway/sdk/billing"
)

// shop has the workload's catalog and the module of the tariffs in it, for the
// stages that run without a host.
type shop struct {
	runtime *plugins.Runtime
	module  *plugins.Module
	catalog *catalog.Catalog
}

// openShop loads the module that has the graduated tariff.
func openShop(ctx context.Context, w *workload, cache string) (s *shop, err error) {
	modules, err := builtin.Modules()
	if err != nil {
		return nil, err
	}
	s = &shop{}
	if s.runtime, err = plugins.NewRuntime(ctx, plugins.Config{CacheDir: cache}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(ctx))
		}
	}()
	for _, b := range modules {
		m, err := s.runtime.Load(ctx, b.Wasm)
		if err != nil {
			return s, err
		}
		for _, t := range m.Manifest().Tariffs {
			if t.Name == tariffName {
				s.module = m
			}
		}
	}
	if s.module == nil {
		return s, fmt.Errorf("no built-in module has the tariff %s", tariffName)
	}
	c, problems := catalog.Parse(w.catalog())
	if problems = append(problems, c.Resolve(s)...); len(problems) > 0 {
		return s, fmt.Errorf("catalog: %s", problems[0])
	}
	s.catalog = c
	return s, nil
}

const tariffName = "graduated"

func (s *shop) close(ctx context.Context) error { return s.runtime.Close(ctx) }

// Module returns the one module that there is.
func (s *shop) Module(_ context.Context, digest string) (*plugins.Module, error) {
	if digest != s.module.Digest() {
		return nil, fmt.Errorf("there is no plugin %s", digest)
	}
	return s.module, nil
}

// Lookup finds the tariff by its name.
func (s *shop) Lookup(_ catalog.PluginKind, reference string) (module, tariff string, err error) {
	return s.module.Digest(), reference, nil
}

// CheckParams believes in the catalog's parameters: the plugin refuses wrong
// ones when it is configured.
func (s *shop) CheckParams(string, string, json.RawMessage, billing.Currency) ([]string, error) {
	return nil, nil
}

// pluginBatch makes a batch of events over slots of the first meter's tariff.
func (s *shop) pluginBatch(ctx context.Context, instance *plugins.Instance) (*plugins.Batch, error) {
	version := s.catalog.Tariffs["t0"].Versions[0]
	plans, err := instance.Configure(ctx, []plugins.ConfigRequest{{Tariff: version.Name, Params: version.Params, Currency: "EUR"}})
	if err != nil {
		return nil, err
	}
	batch := &plugins.Batch{Slots: make([]plugins.Slot, pluginSlots), Events: make([]plugins.Event, batchEvents), Values: []string{""}}
	for i := range batch.Slots {
		batch.Slots[i] = plugins.Slot{Plan: plans[0], New: true, PeriodEnd: 1 << 60, ActiveUntil: 1 << 60}
	}
	for i := range batch.Events {
		h := scramble(uint64(i))
		batch.Events[i] = plugins.Event{Slot: int32(h % pluginSlots), Time: int64(i), Quantity: billing.DecimalFromInt(int64(1 + h>>32%quantityMax))}
	}
	return batch, nil
}

// decoded makes the first n events as a decoder returns them.
func (w *workload) decoded(n int) ([]ingest.Event, error) {
	decoder := ingest.NewDecoder(1)
	events := make([]ingest.Event, 0, n)
	f := formats()[len(formats())-1]
	header := func(string) string { return f.contentType }
	err := w.messages(f, n, 1, func(_ int, body []byte) error {
		events = decoder.Decode(header, body, events)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range events {
		if p := events[i].Problem; p != nil {
			return nil, p
		}
	}
	return events, nil
}
