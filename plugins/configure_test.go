package plugins_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tollway/tollway/plugins"
	w "github.com/tollway/tollway/plugins/internal/wasmtest"
)

func newInstance(t testing.TB, m *plugins.Module) *plugins.Instance {
	t.Helper()
	i, err := m.NewInstance(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return i
}

// TestConfigureRefused reads the message of everything that can go wrong with a configuration.
func TestConfigureRefused(t *testing.T) {
	m := load(t, newRuntime(t, plugins.Config{}), guestWasm)
	for _, c := range []struct {
		tariff, params string
		refusal        bool // the fault of the parameters, not of the plugin
		want           string
	}{
		{"refuses", "", true, "tariff refuses: params.x: must be kind"},
		{"missing", "", true, "tariff missing: is not in plugin guest 1.0.0 (sha256:"},
		{"sum", "{", true, "tariff sum: its parameters are not JSON"},
		{"sum", `{"x":"` + strings.Repeat("y", 40<<20) + `"}`, true, "its parameters are 41943"},
		{"loops", "", true, "tariff loops: the plugin failed on its parameters: it ran out of fuel"},
		{"babbles", "", false, `unknown field "colour"`},
		{"greedy", "", false, "state_size 5000 is not 0 to 4096"},
		{"lies", "", false, "reply is longer than the arena"},
		{"faults", "", false, "it failed on a configuration: out of ideas"},
	} {
		t.Run(c.tariff, func(t *testing.T) {
			i := newInstance(t, m)
			_, err := i.Configure(context.Background(), []plugins.ConfigRequest{{Tariff: "sum"}, {Tariff: c.tariff, Params: json.RawMessage(c.params)}})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			var refusal *plugins.ConfigError
			var fault *plugins.FaultError
			if errors.As(err, &refusal) != c.refusal || errors.As(err, &fault) == c.refusal {
				t.Errorf("error %v is of the wrong kind", err)
			}
			if c.refusal && (refusal.Request != 1 || refusal.Tariff != c.tariff) {
				t.Errorf("error %+v does not name the request", refusal)
			}
			// The instance is as it was: it can be configured and used.
			g := &guest{t: t, i: i}
			plans, err := i.Configure(context.Background(), []plugins.ConfigRequest{{Tariff: "sum"}})
			if err != nil {
				t.Fatal(err)
			}
			g.plan = plans[0]
			b := &plugins.Batch{Slots: g.slots(1), Events: events(5, 1)}
			g.price(b)
			if priced(b.Slots[0]) != 5 {
				t.Error("the instance is of no use after a refused configuration")
			}
		})
	}
}

func TestConfigureReportsAll(t *testing.T) {
	i := newInstance(t, load(t, newRuntime(t, plugins.Config{}), guestWasm))
	_, err := i.Configure(context.Background(), []plugins.ConfigRequest{{Tariff: "refuses"}, {Tariff: "sum"}, {Tariff: "refuses"}})
	if n := strings.Count(fmt.Sprint(err), "params.x: must be kind"); n != 2 {
		t.Errorf("%d problems reported, want 2: %v", n, err)
	}
}

// TestConfigureInSteps holds that plans stay valid when more are added, and that an instance which
// was configured in steps prices as one configured at once, also when its arena had to grow.
func TestConfigureInSteps(t *testing.T) {
	m := load(t, newRuntime(t, plugins.Config{}), guestWasm)
	ctx := context.Background()
	large := json.RawMessage(`{"note":"` + strings.Repeat("long ", 500_000) + `"}`)
	requests := []plugins.ConfigRequest{{Tariff: "sum"}, {Tariff: "variable"}, {Tariff: "sum", Params: large}, {Tariff: "badfinish"}}
	atOnce, inSteps := newInstance(t, m), newInstance(t, m)
	want, err := atOnce.Configure(ctx, requests)
	if err != nil {
		t.Fatal(err)
	}
	var got []*plugins.Plan
	for k := range requests {
		plans, err := inSteps.Configure(ctx, requests[k:k+1])
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, plans...)
		if _, err := inSteps.Configure(ctx, []plugins.ConfigRequest{{Tariff: "refuses"}}); err == nil {
			t.Fatal("a configuration was not refused")
		}
	}
	price := func(i *plugins.Instance, plans []*plugins.Plan) string {
		b := &plugins.Batch{}
		for k, p := range plans {
			b.Slots = append(b.Slots, plugins.Slot{Plan: p, New: true, Final: k == 1})
		}
		b.Events = append(events(100, len(plans)), event(0, doRemember), event(0, doGrow), event(2, doMapOrder))
		rejects, err := i.Price(ctx, b)
		if err != nil {
			t.Fatal(err)
		}
		out := fmt.Sprint(rejects)
		for _, s := range b.Slots {
			out += fmt.Sprint(s.Plan.Tariff, s.State, s.Lines, s.CarryOut)
		}
		return out
	}
	if a, b := price(atOnce, want), price(inSteps, got); a != b {
		t.Errorf("configured in steps:\n%s\nat once:\n%s", b, a)
	}
	for k, p := range want {
		q := *got[k]
		if p.Tariff != q.Tariff || p.StateMax != q.StateMax || !reflect.DeepEqual(p.Lines, q.Lines) {
			t.Errorf("plan %d is %+v, want %+v", k, q, *p)
		}
	}
}

func TestPlan(t *testing.T) {
	g := newGuest(t, load(t, newRuntime(t, plugins.Config{}), guestWasm), "variable")
	p := g.plan
	if p.Tariff != "variable" || p.StateSize != 24 || p.StateMax != 1<<20 || p.CarrySize != 64 || len(p.Lines) != 1 || p.Lines[0].Description != "Sum" {
		t.Errorf("%+v", p)
	}
	d := newGuest(t, g.i.Module(), "dims")
	if !slices.Equal(d.plan.Dimensions, []string{"sku", "region"}) || d.plan.StateMax != 24 {
		t.Errorf("%+v", d.plan)
	}
}

// TestReplies are answers to a configuration that break the rules.
func TestReplies(t *testing.T) {
	r := newRuntime(t, plugins.Config{})
	lines := func(n int) string {
		var all []string
		for k := range n {
			all = append(all, fmt.Sprintf(`{"id":"l%d"}`, k))
		}
		return strings.Join(all, ",")
	}
	for _, c := range []struct{ reply, want string }{
		{`{"lines":[` + lines(1_025) + `]}`, "1025 lines, the limit is 1024"},
		{`{"state_size":-1}`, "state_size -1"},
		{`{"state_size":8,"state_max":4}`, "state_max 4"},
		{`{"state_max":1048577}`, "state_max 1048577"},
		{`{"carry_size":1048577}`, "carry_size 1048577"},
		{`{"dimensions":["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q"]}`, "17 dimensions, the limit is 16"},
		{`{"dimensions":["a","a"]}`, `dimension "a" is empty or there twice`},
		{`{"dimensions":[""]}`, `dimension "" is empty`},
		{`{"lines":[{"id":"a"},{"id":"a"}]}`, `line "a" is named twice`},
		{`{"lines":[{"id":"A"}]}`, `line "A" is named twice or not of the form`},
		{`{"lines":[{"id":"a","description":"` + strings.Repeat("x", 201) + `"}]}`, `the description of line "a"`},
		{`{"lines":3}`, "cannot be read"},
		{``, "cannot be read"},
	} {
		m := load(t, r, packed(t, w.Tariff(c.reply)))
		_, err := newInstance(t, m).Configure(context.Background(), []plugins.ConfigRequest{{Tariff: "small"}})
		var fault *plugins.FaultError
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

// TestArenas are arenas that cannot be used.
func TestArenas(t *testing.T) {
	r := newRuntime(t, plugins.Config{})
	for _, c := range []struct {
		code []byte
		want string
	}{
		{w.I32Const(0), "gave no usable arena"},
		{w.I32Const(65_544), "gave no usable arena"},
		{w.I32Const(64 << 16), "gave no usable arena"},
		{w.I32Const(-16), "gave no usable arena"},
		{w.Op(w.Unreachable), "could not make an arena of 2097152 bytes: it crashed"},
	} {
		module := w.Tariff(plainReply)
		module.Funcs[1].Code = w.Cat(c.code, w.Op(w.End))
		i := newInstance(t, load(t, r, packed(t, module)))
		if _, err := i.Configure(context.Background(), nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

func TestClosedInstance(t *testing.T) {
	g := newGuest(t, load(t, newRuntime(t, plugins.Config{}), guestWasm), "sum")
	ctx := context.Background()
	if err := g.i.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := g.i.Price(ctx, &plugins.Batch{Slots: g.slots(1)}); err == nil {
		t.Error("a closed instance priced")
	}
	if _, err := g.i.Configure(ctx, nil); err == nil {
		t.Error("a closed instance was configured")
	}
}
