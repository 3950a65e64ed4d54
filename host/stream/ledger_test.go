package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

func mustClaim(t *testing.T, c *Conn, store string, takeOver bool) uint64 {
	t.Helper()
	epoch, err := c.Claim(testContext(t), store, "host of "+store, takeOver)
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

// pair opens two connections to one log, as two hosts have them.
func pair(t *testing.T, partitions int) (a, b *Conn) {
	t.Helper()
	p := startNATS(t, printedConfig(partitions))
	return openExternal(t, p, partitions), openExternal(t, p, partitions)
}

func TestClaim(t *testing.T) {
	a, b := pair(t, 2)
	if e := mustClaim(t, a, "data-a", false); e != 1 {
		t.Errorf("first epoch %d", e)
	}
	if e := mustClaim(t, a, "data-a", false); e != 2 {
		t.Errorf("second epoch %d", e)
	}
	_, err := b.Claim(testContext(t), "data-b", "beta", false)
	var owned *OwnedError
	if !errors.As(err, &owned) || owned.StoreID != "data-a" || owned.Host != "host of data-a" || owned.Epoch != 2 || time.Since(owned.Since) > time.Minute {
		t.Fatalf("got %v", err)
	}
	mustFail(t, err, "belong to data directory data-a, in use on host host of data-a since 20", "epoch 2", "not to data directory data-b", "--data", "--take-over", "ledger records")
	if e := mustClaim(t, b, "data-b", true); e != 3 {
		t.Errorf("epoch after the take-over %d", e)
	}
	m, err := b.Last(testContext(t), Ledger, ownerSubject)
	if err != nil || string(m.Data) != `{"store_id":"data-b","host":"host of data-b","epoch":3,"took_over":{"store_id":"data-a","host":"host of data-a","epoch":2}}` {
		t.Fatalf("%s %v", m.Data, err)
	}
	if e := mustClaim(t, b, "data-b", true); e != 4 {
		t.Errorf("its own again: epoch %d", e)
	}
	mustFail(t, second(a.Claim(testContext(t), "data-a", "alpha", false)), "belong to data directory data-b")
	lost := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir()}})
	mustFail(t, second(lost.Claim(testContext(t), "x", "y", false)), "comes after EnsureStreams")
}

// Many hosts start at once: one gets the log, the others are told whose it is.
func TestClaimRace(t *testing.T) {
	p := startNATS(t, printedConfig(3))
	openExternal(t, p, 3)
	var all sync.WaitGroup
	won := make(chan int, 10)
	for i := range cap(won) {
		c := openExternal(t, p, 3)
		all.Go(func() {
			_, err := c.Claim(testContext(t), fmt.Sprintf("data-%d", i), "h", false)
			var owned *OwnedError
			switch {
			case err == nil:
				won <- i
			case !errors.As(err, &owned):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(won) != 1 {
		t.Errorf("%d hosts own the log", len(won))
	}
}

func TestAnchors(t *testing.T) {
	a, b := pair(t, 2)
	ctx := testContext(t)
	if epoch, anchor, err := a.LastAnchor(ctx, 1); epoch != 0 || anchor != (Anchor{}) || err != nil {
		t.Fatalf("%d %+v %v", epoch, anchor, err)
	}
	if err := a.Anchor(ctx, 0, 1, Anchor{Position: 1}); !errors.Is(err, ErrFenced) {
		t.Fatalf("an anchor without a claim: %v", err)
	}
	epoch := mustClaim(t, a, "data-a", false)
	for n := range uint64(5) {
		if err := a.Anchor(ctx, 1, epoch, Anchor{Checkpoint: n, Position: 10 * n, Digest: "d"}); err != nil {
			t.Fatal(err)
		}
	}
	mustFail(t, a.Anchor(ctx, 2, epoch, Anchor{}), "the log has 2 partitions")
	for _, of := range []uint64{epoch, epoch + 1} {
		if err := a.Owned(ctx, of); err != nil {
			t.Fatalf("with epoch %d of %d: %v", of, epoch, err)
		}
	}
	// The new owner finds the old one's anchors, and the old one is out in every
	// partition at once, also where the new one has written nothing.
	newEpoch := mustClaim(t, b, "data-b", true)
	at, anchor, err := b.LastAnchor(ctx, 1)
	if want := (Anchor{Checkpoint: 4, Position: 40, Digest: "d"}); at != newEpoch || anchor != want || err != nil {
		t.Fatalf("%d %+v %v", at, anchor, err)
	}
	err = a.Owned(ctx, epoch)
	if !errors.Is(err, ErrFenced) || b.Owned(ctx, newEpoch) != nil {
		t.Fatalf("the old owner is told %v", err)
	}
	mustFail(t, err, "data directory data-b on host host of data-b claimed it at 20", "epoch 2, this host has epoch 1", "stop this host")
	for p := range 2 {
		err := a.Anchor(ctx, p, epoch, Anchor{Position: 99})
		if !errors.Is(err, ErrFenced) {
			t.Fatalf("partition %d: %v", p, err)
		}
		mustFail(t, err, "data directory data-b on host host of data-b claimed it at 20", "epoch 2, this host has epoch 1", "stop this host")
		if err := b.Anchor(ctx, p, newEpoch, Anchor{Position: 50}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Anchor(ctx, 0, newEpoch, Anchor{Position: 99}); !errors.Is(err, ErrFenced) {
		t.Fatalf("with the other's epoch: %v", err)
	}
	if _, anchor, err := a.LastAnchor(ctx, 0); anchor.Position != 50 || err != nil {
		t.Fatalf("%+v %v", anchor, err)
	}
}

// A host claims while the one before it writes anchors, first as fast as it can
// and then ever slower, so that a claim finds its moment on a machine of any
// speed: from the claim on none of them is written.
func TestClaimFencesBusyHost(t *testing.T) {
	a, b := pair(t, 4)
	epoch := mustClaim(t, a, "data-a", false)
	var all sync.WaitGroup
	for p := range 4 {
		all.Go(func() {
			for n := uint64(1); ; n++ {
				if err := a.Anchor(testContext(t), p, epoch, Anchor{Position: n}); err != nil {
					if !errors.Is(err, ErrFenced) {
						t.Error(err)
					}
					return
				}
				time.Sleep(time.Duration(n) * time.Millisecond)
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	taken := mustClaim(t, b, "data-b", true)
	all.Wait()
	for p := range 4 {
		if at, _, err := b.LastAnchor(testContext(t), p); at != taken || err != nil {
			t.Errorf("partition %d: last anchor has epoch %d, want %d, %v", p, at, taken, err)
		}
	}
}

// Acknowledgements of the claim and of anchors are lost.
func TestLedgerSurvivesLostAcks(t *testing.T) {
	p := startNATS(t, plainJetStream)
	between := startProxy(t, fmt.Sprintf("127.0.0.1:%d", p.port))
	c := openTest(t, Config{URL: between.url()})
	if err := c.EnsureStreams(testContext(t), 2); err != nil {
		t.Fatal(err)
	}
	between.cutAt(ackOf(Ledger))
	epoch := mustClaim(t, c, "data", false)
	if epoch != 1 || between.armed() {
		t.Fatalf("epoch %d", epoch)
	}
	between.cutAt(ackOf(Ledger))
	if err := c.Anchor(testContext(t), 1, epoch, Anchor{Position: 1}); err != nil || between.armed() {
		t.Fatal(err)
	}
	// The caller gives up before it is known that the anchor was written.
	p.pause()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	err := c.Anchor(ctx, 1, epoch, Anchor{Position: 2})
	cancel()
	if !errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	p.resume()
	if err := c.Anchor(testContext(t), 1, epoch, Anchor{Position: 3}); err != nil {
		t.Fatal(err)
	}
	if at, anchor, err := c.LastAnchor(testContext(t), 1); at != epoch || anchor.Position != 3 || err != nil {
		t.Fatalf("%d %+v %v", at, anchor, err)
	}
}
