package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// Subjects of the ledger that this package writes.
const (
	ownerSubject  = "ledger.owner"
	anchorSubject = "ledger.anchor."
)

// ownerRecord is the body of an owner message: whose the log is from there on.
type ownerRecord struct {
	StoreID  string       `json:"store_id"`
	Host     string       `json:"host"`
	Epoch    uint64       `json:"epoch"`
	TookOver *ownerRecord `json:"took_over,omitempty"` // whose it was, when it was taken by order
}

// Anchor says which checkpoint of a partition stands.
type Anchor struct {
	Checkpoint uint64 `json:"checkpoint,omitempty"` // its number
	Position   uint64 `json:"position"`             // last sequence in it
	Digest     string `json:"digest"`               // of the message at that position
	State      string `json:"state,omitempty"`      // digest of the state there
}

// anchorRecord is the body of an anchor message.
type anchorRecord struct {
	Epoch uint64 `json:"epoch"`
	Claim bool   `json:"claim,omitempty"` // written by a claim: the anchor before it, under a new epoch
	Anchor
}

// claimRetry is the wait before a claim that lost a race is tried again.
const claimRetry = 5 * time.Millisecond

// ownership is what a claim leaves behind.
type ownership struct {
	epoch   uint64
	anchors []uint64 // sequence of each partition's last anchor message
}

// Claim makes a data directory the owner of the log and returns the epoch of
// its claim. The log may be nobody's, or the directory's own already: then the
// epoch goes up by one. Another one's log is refused with *OwnedError, unless
// takeOver says to take it, which the ledger keeps.
//
// A claim is one atomic batch: the owner, and an anchor for every partition that
// repeats its last one under the new epoch. So from that moment on no anchor of
// an earlier owner can be written, however late that one wakes up.
func (c *Conn) Claim(ctx context.Context, storeID, host string, takeOver bool) (epoch uint64, err error) {
	partitions := int(c.partitions.Load())
	if partitions == 0 {
		return 0, errors.New("stream: Claim comes after EnsureStreams")
	}
	nonces := map[string]bool{} // of all attempts: any may have been stored
	wait := retryMin
	for {
		epoch, err = c.tryClaim(ctx, ownerRecord{StoreID: storeID, Host: host}, takeOver, partitions, nonces)
		if err == nil {
			return epoch, nil
		}
		if !isConflict(err) && !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			return 0, fmt.Errorf("stream: claim of the log: %w", classify(ctx, err))
		}
		c.log.Debug("claim of the log, trying again", "error", err)
		pause := wait
		if isConflict(err) {
			// The owner before has written an anchor since this one looked. It does
			// so now and then only: look again, and be quicker.
			pause = claimRetry
		} else {
			wait = min(2*wait, retryMax)
		}
		if err := sleep(ctx, pause); err != nil {
			return 0, fmt.Errorf("stream: claim of the log: %w", unavailable(err))
		}
	}
}

// tryClaim reads who owns the log and tries once to write the claim.
func (c *Conn) tryClaim(ctx context.Context, claim ownerRecord, takeOver bool, partitions int, nonces map[string]bool) (uint64, error) {
	m, err := c.Last(ctx, Ledger, ownerSubject)
	if err != nil {
		return 0, err
	}
	claim.Epoch = 1
	expect := uint64(0)
	if m != nil {
		var owner ownerRecord
		if err := json.Unmarshal(m.Data, &owner); err != nil {
			return 0, fmt.Errorf("message %d of %s cannot be read: %w", m.Sequence, Ledger, err)
		}
		if nonces[m.Header.Get(headerWrite)] {
			return owner.Epoch, c.adopt(ctx, owner.Epoch, partitions)
		}
		if owner.StoreID != claim.StoreID {
			if !takeOver {
				return 0, &OwnedError{StoreID: owner.StoreID, Host: owner.Host, Epoch: owner.Epoch, Since: m.Time, Asked: claim.StoreID}
			}
			owner.TookOver = nil
			claim.TookOver = &owner
		}
		claim.Epoch, expect = owner.Epoch+1, m.Sequence
	}
	nonce := nuid.Next()
	nonces[nonce] = true
	owner, err := guardedJSON(ownerSubject, expect, nonce, claim)
	if err != nil {
		return 0, err
	}
	messages := []*nats.Msg{owner}
	for p := range partitions {
		record, sequence, err := c.lastAnchor(ctx, p)
		if err != nil {
			return 0, err
		}
		record.Epoch, record.Claim = claim.Epoch, true
		anchor, err := guardedJSON(anchorSubject+strconv.Itoa(p), sequence, nonce, record)
		if err != nil {
			return 0, err
		}
		messages = append(messages, anchor)
	}
	failpoint.Hit("claim.before-write")
	first, err := c.writeTogether(ctx, messages)
	if err != nil {
		return 0, err
	}
	failpoint.Hit("claim.after-write")
	o := ownership{epoch: claim.Epoch, anchors: make([]uint64, partitions)}
	for p := range partitions {
		o.anchors[p] = first + 1 + uint64(p)
	}
	c.own(o)
	return claim.Epoch, nil
}

// guardedJSON makes a guarded message.
func guardedJSON(subject string, expectLast uint64, nonce string, record any) (*nats.Msg, error) {
	body, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", subject, err)
	}
	return guarded(&nats.Msg{Subject: subject, Data: body}, expectLast, nonce), nil
}

// adopt takes over a claim of this connection whose acknowledgement was lost.
func (c *Conn) adopt(ctx context.Context, epoch uint64, partitions int) error {
	o := ownership{epoch: epoch, anchors: make([]uint64, partitions)}
	for p := range partitions {
		_, sequence, err := c.lastAnchor(ctx, p)
		if err != nil {
			return err
		}
		o.anchors[p] = sequence
	}
	c.own(o)
	return nil
}

func (c *Conn) own(o ownership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owner = o
}

// lastAnchor reads a partition's last anchor message, whose sequence is 0 when
// there is none.
func (c *Conn) lastAnchor(ctx context.Context, partition int) (anchorRecord, uint64, error) {
	var record anchorRecord
	m, err := c.Last(ctx, Ledger, anchorSubject+strconv.Itoa(partition))
	if err != nil || m == nil {
		return record, 0, err
	}
	if err := json.Unmarshal(m.Data, &record); err != nil {
		return record, 0, fmt.Errorf("stream: message %d of %s cannot be read: %w", m.Sequence, Ledger, err)
	}
	return record, m.Sequence, nil
}

// LastAnchor returns the checkpoint of a partition that stands, and the epoch of
// the owner that it stands under; 0 when the log was never claimed.
func (c *Conn) LastAnchor(ctx context.Context, partition int) (epoch uint64, anchor Anchor, err error) {
	record, _, err := c.lastAnchor(ctx, partition)
	return record.Epoch, record.Anchor, err
}

// Anchor records that a checkpoint of a partition stands. It fails with
// ErrFenced when the log was claimed again since the claim that gave the epoch.
// One partition's anchors are written one after the other.
func (c *Conn) Anchor(ctx context.Context, partition int, epoch uint64, anchor Anchor) error {
	body, err := json.Marshal(anchorRecord{Epoch: epoch, Anchor: anchor})
	if err != nil {
		return fmt.Errorf("stream: anchor of partition %d: %w", partition, err)
	}
	subject := anchorSubject + strconv.Itoa(partition)
	for {
		expect, err := c.anchorGuard(partition, epoch)
		if err != nil {
			return fmt.Errorf("stream: anchor of partition %d: %w", partition, err)
		}
		failpoint.Hit("anchor.before-write")
		sequence, err := c.Append(ctx, subject, expect, nil, body)
		if err == nil {
			failpoint.Hit("anchor.after-write")
			c.setAnchorGuard(partition, sequence)
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
		// An earlier call may have ended before it knew that its anchor was
		// written. Nobody else writes under this epoch.
		last, sequence, lastErr := c.lastAnchor(ctx, partition)
		if lastErr != nil {
			return lastErr
		}
		if last.Epoch != epoch {
			return fmt.Errorf("stream: anchor of partition %d: %w", partition, c.fenced(ctx, epoch))
		}
		c.setAnchorGuard(partition, sequence)
	}
}

// anchorGuard returns the sequence of a partition's last anchor.
func (c *Conn) anchorGuard(partition int, epoch uint64) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case epoch == 0 || epoch != c.owner.epoch:
		return 0, fmt.Errorf("%w: epoch %d is not the one that this connection claimed (%d)", ErrFenced, epoch, c.owner.epoch)
	case partition < 0 || partition >= len(c.owner.anchors):
		return 0, fmt.Errorf("the log has %d partitions", len(c.owner.anchors))
	}
	return c.owner.anchors[partition], nil
}

func (c *Conn) setAnchorGuard(partition int, sequence uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owner.anchors[partition] = sequence
}

// Owned reports whether the log is still that of the claim which gave an epoch: nil when it
// is, ErrFenced and who owns it when it was claimed again. What is written says the same, but
// a host that has nothing to write does not find out.
func (c *Conn) Owned(ctx context.Context, epoch uint64) error {
	m, err := c.Last(ctx, Ledger, ownerSubject)
	if err != nil {
		return err
	}
	var owner ownerRecord
	if m != nil {
		if err := json.Unmarshal(m.Data, &owner); err != nil {
			return fmt.Errorf("stream: message %d of %s cannot be read: %w", m.Sequence, Ledger, err)
		}
	}
	if owner.Epoch > epoch {
		return fmt.Errorf("stream: %w", c.fenced(ctx, epoch))
	}
	return nil
}

// fenced says who owns the log now.
func (c *Conn) fenced(ctx context.Context, epoch uint64) error {
	var owner ownerRecord
	m, err := c.Last(ctx, Ledger, ownerSubject)
	if err == nil && m != nil {
		err = json.Unmarshal(m.Data, &owner)
	}
	if err != nil || m == nil {
		return errors.Join(ErrFenced, err)
	}
	return fmt.Errorf("%w: data directory %s on host %s claimed it at %s with epoch %d, this host has epoch %d; stop this host",
		ErrFenced, owner.StoreID, owner.Host, m.Time.Format("2006-01-02 15:04:05 MST"), owner.Epoch, epoch)
}
