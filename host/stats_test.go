package host

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Quantiles lie at most an eighth above what they stand for, and never below.
func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var d durations
	if d.quantiles() != (Quantiles{}) {
		t.Errorf("of nothing: %+v", d.quantiles())
	}
	list := make([]time.Duration, 10_000)
	for i := range list {
		list[i] = time.Duration(random.Uint64() >> (20 + random.IntN(44)))
		d.add(list[i])
	}
	d.add(-1) // a clock that went back
	slices.Sort(list)
	q := d.quantiles()
	for _, c := range []struct {
		name       string
		got, exact time.Duration
	}{{"p50", q.P50, list[len(list)/2-1]}, {"p99", q.P99, list[len(list)*99/100-1]}} {
		if c.got < c.exact-c.exact/8 || c.got > c.exact+c.exact/8+1 {
			t.Errorf("%s is %d, exactly %d", c.name, c.got, c.exact)
		}
	}
	if q.Max != list[len(list)-1] || d.count() != uint64(len(list))+1 {
		t.Errorf("max %d of %d, count %d", q.Max, list[len(list)-1], d.count())
	}
}

// Every duration lies in the bucket that says so.
func TestDurationBuckets(t *testing.T) {
	for n := uint64(1); n < 1<<62; n += n/16 + 1 {
		b := durationBucket(n)
		if high := durationIn(b); uint64(high) < n || b > 0 && uint64(durationIn(b-1)) >= n {
			t.Fatalf("%d is in bucket %d, which ends at %d, the one before at %d", n, b, high, durationIn(b-1))
		}
	}
}
