package postgres_test

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/tollway/tollway/host/internal/postgres"
)

// TestLoad prices a few thousand rows on two connections, some of them twice,
// and compares with sums made by hand.
func TestLoad(t *testing.T) {
	if err := postgres.Available(); err != nil {
		t.Skip(err)
	}
	c, err := postgres.Start(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	tiers := []postgres.Tiers{{UpTo: [2]int64{10, 50}, Price: [3]int64{5, 3, 1}}, {UpTo: [2]int64{3, 4}, Price: [3]int64{100, 10, 1}}}
	if err := postgres.Reset(t.Context(), c.Address(), tiers, 2); err != nil {
		t.Fatal(err)
	}
	units := map[string]*[2]int64{"a": {}, "b": {}}
	for lane, account := range []string{"a", "b"} {
		l, err := postgres.Open(t.Context(), c.Address(), lane, lane == 0)
		if err != nil {
			t.Fatal(err)
		}
		for batch := range 4 {
			rows := map[[16]byte]postgres.Row{}
			for range 100 {
				id := byte(rand.IntN(256))
				r := postgres.Row{Identity: [16]byte{byte(lane), id}, Account: account, Meter: int(id) % 2, Units: int64(id) % 5}
				rows[r.Identity] = r
			}
			if batch == 3 { // by then every identity has come
				for id := range 256 {
					rows[[16]byte{byte(lane), byte(id)}] = postgres.Row{Identity: [16]byte{byte(lane), byte(id)}, Account: account, Meter: id % 2, Units: int64(id) % 5}
				}
			}
			var list []postgres.Row
			for _, r := range rows {
				list = append(list, r)
			}
			if err := l.Batch(t.Context(), list); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for id := range 256 {
			units[account][id%2] += int64(id) % 5
		}
	}
	want, got := map[string]int64{}, map[string]int64{}
	for account, u := range units {
		want[account] = 10*5 + 40*3 + (u[0] - 50) + 3*100 + 10 + (u[1] - 4)
	}
	err = postgres.Totals(t.Context(), c.Address(), func(account string, amount int64) error {
		got[account] = amount
		return nil
	})
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v, not %v", got, err, want)
	}
}
