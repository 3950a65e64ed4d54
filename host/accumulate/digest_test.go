package accumulate_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/rate"
)

// The sum of identities is that of those which have not expired at the horizon of the
// checkpoint that is taken, whatever the state has come to meanwhile; and the same when it
// is added up from what is stored.
func TestSumsOfWhatHasExpired(t *testing.T) {
	state, tally := accumulate.NewState(), accumulate.NewTally()
	take := func(g *accumulate.Generation, identities map[int64]uint64, want map[int64]accumulate.Sum) {
		t.Helper()
		sums, err := tally.Take(g, identities)
		if err != nil {
			t.Fatal(err)
		}
		total := accumulate.Sum(0)
		for _, s := range want {
			total += s
		}
		if got := tally.Stretches(); sums.Identities != total || !maps.Equal(got, want) {
			t.Errorf("the sums are %v, in all %d; want %v, in all %d", got, sums.Identities, want, total)
		}
		g.Header.Sums, g.Header.Stretches = &sums, tally.Stretches()
		state.Durable(g)
	}
	take(cut(t, state), map[int64]uint64{10: 1, 20: 2}, map[int64]accumulate.Sum{10: 1, 20: 2})
	flying := cut(t, state)
	state.Now().Horizon = 15
	take(flying, map[int64]uint64{10: 1 << 63}, map[int64]accumulate.Sum{10: 1<<63 + 1, 20: 2})
	last := cut(t, state)
	take(last, map[int64]uint64{10: 5, 20: 8, 30: 1}, map[int64]accumulate.Sum{20: 10, 30: 1})

	add := func(identities map[int64]uint64) accumulate.Sums {
		t.Helper()
		a := accumulate.NewAuditor(last.Header)
		if identities != nil {
			a.Identities(identities)
		}
		again, sums, err := a.End()
		if err != nil || !maps.Equal(again.Stretches(), last.Header.Stretches) != (identities[20] == 9) {
			t.Error(again.Stretches(), err)
		}
		return sums
	}
	if sums := add(nil); sums != *last.Header.Sums {
		t.Errorf("by the header alone they are %+v, want %+v", sums, *last.Header.Sums)
	}
	if sums := add(map[int64]uint64{20: 10, 30: 1}); sums != *last.Header.Sums {
		t.Errorf("by what is stored they are %+v, want %+v", sums, *last.Header.Sums)
	}
	if sums := add(map[int64]uint64{20: 9, 30: 2}); sums != *last.Header.Sums {
		t.Errorf("%+v: the total alone was meant to be the same", sums)
	}
}

// A state from which nothing has expired has the digest that it always had. One from which
// something has is of another version, of which an anchor of before says nothing.
func TestDigestSaysWhetherSomethingExpired(t *testing.T) {
	h := accumulate.NewState().Header()
	h.Sums = &accumulate.Sums{Identities: 3}
	digest := func() string {
		t.Helper()
		d, err := h.StateDigest()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	const always = "1:"
	before := digest()
	h.Stretches = map[int64]accumulate.Sum{10: 1, 20: 2}
	if again := digest(); again != before || !strings.HasPrefix(before, always) {
		t.Errorf("digest %s, and with the sums apart %s", before, again)
	}
	b, err := h.Encode()
	if err != nil || strings.Contains(string(b), "horizon") {
		t.Errorf("%s, %v", b, err)
	}
	if back, err := accumulate.DecodeHeader(b); err != nil || back.Horizon != rate.Beginning {
		t.Error(back.Horizon, err)
	}
	h.Horizon = 0 // 1970
	expired := digest()
	if b, err = h.Encode(); err != nil {
		t.Fatal(err)
	}
	if back, err := accumulate.DecodeHeader(b); err != nil || back.Horizon != 0 {
		t.Error(back.Horizon, err)
	}
	if h.Horizon = 5; expired == digest() {
		t.Error("the horizon is not part of the digest")
	}
	for _, x := range []struct {
		a, b string
		want bool
	}{{before, before, true}, {expired, digest(), true}, {before, expired, false}, {"", before, false}, {before, "", false}, {":a", ":b", false}} {
		if got := accumulate.ComparableDigests(x.a, x.b); got != x.want {
			t.Errorf("%q and %q can be compared: %t", x.a, x.b, got)
		}
	}
}
