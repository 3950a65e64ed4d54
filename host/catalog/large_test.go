package catalog

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// largeYAML writes a catalog with many accounts, as a program would.
func largeYAML(accounts int) []byte {
	var b bytes.Buffer
	b.WriteString("# generated\nmeters:\n")
	for i := range 20 {
		fmt.Fprintf(&b, "  - {name: m%d, event_type: type.%d, dimensions: [region]}\n", i, i%10)
	}
	b.WriteString("tariffs:\n")
	for i := range 50 {
		fmt.Fprintf(&b, "  - name: t%d\n    meter: m%d\n    currency: EUR\n    versions:\n", i, i%20)
		b.WriteString("      - {effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: \"0.5\"}}\n")
		b.WriteString("      - {effective_from: 2026-06-01T00:00:00Z, plugin: per_unit, params: {unit_price: \"0.6\"}}\n")
	}
	b.WriteString("\naccounts:\n")
	for i := range accounts {
		fmt.Fprintf(&b, "  - id: customer-%06d   # - not an item\n", i)
		if i%3 == 0 {
			b.WriteString("    time_zone: Europe/Berlin\n")
		}
		fmt.Fprintf(&b, "    subscriptions:\n      - {id: main, tariff: t%d, from: 2026-01-01T00:00:00Z}\n", i%50)
		fmt.Fprintf(&b, "      - {id: second, tariff: t%d, from: 2026-01-01T00:00:00Z, params: {unit_price: \"0.%02d\"}}\n", (i+1)%50, i%100)
		fmt.Fprintf(&b, "    details:\n      name: Customer %d\n      address: |\n        Street %d\n        - second line\n", i, i)
	}
	b.WriteString("default_subscriptions: [t0]\nbilling: {time_zone: UTC}\n")
	return b.Bytes()
}

// heapInUse returns the live heap in bytes.
func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestLargeCatalog reads 100,000 accounts and logs what that costs.
func TestLargeCatalog(t *testing.T) {
	accounts := 100_000
	if testing.Short() {
		accounts = 5_000
	}
	data := largeYAML(accounts)
	before := heapInUse()
	lap := time.Now()
	step := func(what string) {
		t.Logf("%-28s %8v", what, time.Since(lap).Round(time.Millisecond))
		lap = time.Now()
	}
	stop := peakHeap()
	c, problems := Parse([]File{{Name: "large.yaml", Data: data}})
	if len(problems) > 0 {
		t.Fatal(lines(problems))
	}
	step(fmt.Sprintf("parse %d MB of YAML", len(data)>>20))
	asked := &plugins{}
	if problems := c.Resolve(asked); len(problems) > 0 {
		t.Fatal(lines(problems))
	}
	step(fmt.Sprintf("resolve (%d checks)", asked.checks))
	peak := stop()
	objects := Objects(c)
	step("objects")
	digest := c.Digest()
	step("digest")
	again, err := FromObjects(objects)
	if err != nil {
		t.Fatal(err)
	}
	step("from objects")
	if again.Digest() != digest {
		t.Error("what was stored is not what was read")
	}
	lap = time.Now()
	if changes := Compare(c, again); len(changes) != 0 {
		t.Error(changes[0])
	}
	step("compare")
	next, err := again.Update([]Object{{Kind: KindAccount, Name: "customer-000001"}})
	if err != nil || len(next.Accounts) != accounts-1 {
		t.Fatal(err)
	}
	step("update one account")
	objects, again, next = nil, nil, nil //nolint:ineffassign // so that only the catalog is live
	live := heapInUse()
	t.Logf("heap: peak while parsing +%d MB, catalog with index %d MB", (peak-before)>>20, (live-before)>>20)
	if len(c.BindingsOf("customer-000007")) != 2 || len(c.Accounts) != accounts {
		t.Error("accounts are missing")
	}
	if a := c.Accounts["customer-000007"]; string(a.Details) != `{"address":"Street 7\n- second line\n","name":"Customer 7"}` {
		t.Errorf("%s", a.Details)
	}
	const peakMaxBytes = 400 << 20
	if peak-before > peakMaxBytes {
		t.Errorf("parsing took %d MB at its peak", (peak-before)>>20)
	}
	runtime.KeepAlive(data)
}

// peakHeap samples the heap until the function that it returns is called.
func peakHeap() func() uint64 {
	done, result := make(chan struct{}), make(chan uint64)
	go func() {
		var peak uint64
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			select {
			case <-done:
				result <- peak
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() uint64 { close(done); return <-result }
}

// TestSplit reads files in parts and as a whole, with the same outcome: objects,
// problems and their lines.
func TestSplit(t *testing.T) {
	plain := string(largeYAML(200))
	for name, test := range map[string]struct {
		text  string
		split bool // divided, and every part stands for itself
	}{
		"plain":                 {plain, true},
		"windows lines":         {strings.ReplaceAll(plain, "\n", "\r\n"), true},
		"items at the margin":   {strings.ReplaceAll(plain, "\n  ", "\n"), true},
		"problems":              {strings.ReplaceAll(plain, "tariff: t7,", "tarif: t7,"), true},
		"a section twice":       {plain + "accounts:\n  - id: customer-000000\n", true},
		"a syntax error":        {strings.Replace(plain, "  - id: customer-000100", "   - id: customer-000100", 1), false},
		"an alias across parts": {strings.Replace(strings.Replace(plain, "name: Customer 1\n", "name: &n Customer\n", 1), "name: Customer 199\n", "name: *n\n", 1), false},
		"a text across lines":   {strings.Replace(plain, "name: Customer 99\n", "name: \"Customer\n  - id: x\n\"\n", 1), false},
		"documents":             {plain + "---\nmeters: []\n", false},
		"flow style":            {strings.Replace(plain, "default_subscriptions: [t0]", "default_subscriptions: [\n  t0\n]", 1), false},
		"a tab":                 {strings.Replace(plain, "billing: {", "billing:\n\t{", 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(test.text)
			const partMinBytes = 2_000
			read := func(whole bool) (*Catalog, []Problem) {
				d := newDecoder()
				d.file, d.seen = "c.yaml", map[string]int{}
				if whole || !d.readParts(data, partMinBytes) {
					if !whole && test.split {
						t.Error("not read in parts")
					}
					readYAML(data, d)
				} else if !test.split {
					t.Error("read in parts")
				}
				return d.assemble(), SortProblems(d.problems)
			}
			got, gotProblems := read(false)
			want, wantProblems := read(true)
			if parts, ok := splitYAML(data, partMinBytes); ok && len(parts) < 20 {
				t.Errorf("%d parts", len(parts))
			}
			if lines(gotProblems) != lines(wantProblems) {
				t.Errorf("problems in parts:\n%.1000swhole:\n%.1000s", lines(gotProblems), lines(wantProblems))
			}
			if got.Digest() != want.Digest() {
				t.Error("catalogs differ")
			}
			for id, a := range want.Accounts {
				if b := got.Accounts[id]; b == nil || a.at != b.at {
					t.Fatalf("account %s stands at %+v, want %+v", id, b.at, a.at)
				}
			}
		})
	}
}

func BenchmarkParseYAML(b *testing.B) {
	data := largeYAML(5_000)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		Parse([]File{{Name: "c.yaml", Data: data}})
	}
}

func BenchmarkLookup(b *testing.B) {
	c, _ := Parse([]File{{Name: "c.yaml", Data: largeYAML(5_000)}})
	c.Resolve(&plugins{})
	at := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	b.ReportAllocs()
	ids := make([]billing.AccountID, 0, len(c.Accounts))
	for id := range c.Accounts {
		ids = append(ids, id)
	}
	i := 0
	for b.Loop() {
		for _, m := range c.MetersOf("type.3") {
			for _, s := range c.Bindings(ids[i%len(ids)], m) {
				_ = s.Tariff.VersionAt(at)
			}
		}
		i++
	}
}
