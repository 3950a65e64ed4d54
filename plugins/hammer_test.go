package plugins_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/tollway/tollway/plugins"
)

// TestHammer has several goroutines load, start, configure and price at once, with bad events among
// the good ones: all see the same results.
func TestHammer(t *testing.T) {
	r := newRuntime(t, plugins.Config{Log: func(digest string, text []byte) {
		if len(digest) != 71 || len(text) == 0 {
			t.Errorf("a log of %q from %q", text, digest)
		}
	}})
	rounds := 5
	if testing.Short() {
		rounds = 1
	}
	work := func() (string, error) {
		ctx := context.Background()
		m, err := r.Load(ctx, guestWasm)
		if err != nil {
			return "", err
		}
		i, err := m.NewInstance(ctx)
		if err != nil {
			return "", err
		}
		out := ""
		for range rounds {
			plans, err := i.Configure(ctx, []plugins.ConfigRequest{{Tariff: "variable"}})
			if err != nil {
				return "", err
			}
			g := &guest{t: t, i: i, plan: plans[0]}
			b := &plugins.Batch{Slots: g.slots(5), Events: events(500, 5)}
			for k, do := range map[int]int64{13: doCrash, 77: doLoop, 200: doMemory, 333: doReject, 400: doPrint} {
				b.Events[k].Time = do
			}
			rejects, err := i.Price(ctx, b)
			if err != nil {
				return "", err
			}
			for _, s := range b.Slots {
				out += fmt.Sprint(s.State, s.Lines, rejects)
			}
		}
		return out, i.Close(ctx)
	}
	results := make([]string, 6)
	var group sync.WaitGroup
	for k := range results {
		group.Go(func() {
			var err error
			if results[k], err = work(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for k := range results {
		if results[k] != results[0] {
			t.Errorf("goroutine %d has another result", k)
		}
	}
}
