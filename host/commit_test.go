package host

import (
	"testing"
	"time"
)

// A change waits for the next moment at which checkpoints are cut. While the partition
// is behind it waits for more to follow, and behindInterval at most.
func TestWhenACheckpointIsDue(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) // such a moment
	start := func(t *testing.T) *committer {
		due := time.NewTimer(0)
		due.Stop()
		t.Cleanup(func() { due.Stop() })
		return &committer{partition: &partition{host: &Host{config: Config{Now: func() time.Time { return now }}}}, due: due}
	}

	t.Run("fresh", func(t *testing.T) {
		c := start(t)
		begun := time.Now()
		for time.Since(begun) < cutInterval/2 {
			c.changed(now)
		}
		<-c.due.C
		if waited := time.Since(begun); waited < cutInterval {
			t.Errorf("waited %v", waited)
		}
		c.changed(now)
		if c.late {
			t.Error("what is fresh is due by the timer alone")
		}
		select {
		case <-c.due.C:
			t.Error("the timer ran again for the same checkpoint")
		case <-time.After(2 * cutInterval):
		}
	})
	t.Run("behind", func(t *testing.T) {
		c := start(t)
		logged := now.Add(-behindAge)
		begun := now
		for !c.late {
			c.changed(logged)
			if now = now.Add(cutInterval / 2); now.Sub(begun) > 2*behindInterval {
				t.Fatalf("not due after %v", now.Sub(begun))
			}
		}
		if waited := now.Sub(begun); waited < behindInterval {
			t.Errorf("due after %v", waited)
		}
	})
	t.Run("behind, and nothing follows", func(t *testing.T) {
		c := start(t)
		c.changed(now.Add(-behindAge))
		<-c.due.C
	})
}

// Whenever a change comes, it is cut within a cutInterval, and at the same moment as
// those that other partitions have by then.
func TestPartitionsCutAtTheSameMoments(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for after := time.Duration(0); after < 3*cutInterval; after += 777 * time.Microsecond {
		wait := untilCut(from.Add(after))
		if wait <= 0 || wait > cutInterval {
			t.Fatalf("a change %v later waits %v", after, wait)
		}
		if cut := after + wait; cut != (after/cutInterval+1)*cutInterval {
			t.Fatalf("a change %v later is cut %v later", after, cut)
		}
	}
}
