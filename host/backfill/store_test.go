package backfill_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tollway/tollway/host/backfill"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/sdk/billing"
)

const partitions = 3

func open(t *testing.T, dir string) *backfill.Store {
	t.Helper()
	s, err := backfill.Open(dir, partitions, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// lines are events of some accounts as JSON Lines, numbered.
func lines(from, count int) []byte {
	var b bytes.Buffer
	for n := from; n < from+count; n++ {
		b.Write(ingest.FormatJSON(billing.UsageEvent{
			Source: "test", ID: fmt.Sprintf("%06d", n), Type: "call", Account: billing.AccountID(fmt.Sprint("account-", n%97)),
			Time: time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC),
		}))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func finish(t *testing.T, s *backfill.Store, name string) *backfill.Set {
	t.Helper()
	set, err := s.Finish(name, "ann", time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// read lists the ids of a set's events by account, in the order of its messages.
func read(t *testing.T, set *backfill.Set) map[string][]string {
	t.Helper()
	decoder := ingest.NewDecoder(1)
	ids := map[string][]string{}
	for _, bucket := range set.Buckets {
		events, messages := uint64(0), uint64(0)
		err := set.Each(bucket, func(n uint64, body []byte) error {
			if messages++; n != messages {
				t.Errorf("message %d is the %d.", n, messages)
			}
			header := func(string) string { return ingest.ContentTypePacked }
			for _, e := range decoder.Decode(header, body, nil) {
				if e.Problem != nil || billing.Partition(billing.AccountID(e.Account), partitions) != bucket.Partition {
					t.Errorf("partition %d has %+v", bucket.Partition, e)
				}
				account := string([]byte(e.Account))
				ids[account] = append(ids[account], string([]byte(e.ID)))
				events++
			}
			decoder.Reset()
			return nil
		})
		if err != nil || events != bucket.Events || messages != bucket.Messages {
			t.Errorf("bucket %+v has %d events in %d messages: %v", bucket, events, messages, err)
		}
	}
	return ids
}

// All events of a set are in its buckets, once, those of an account in their order in one
// of them; parts that come twice, and a restart, change nothing.
func TestSetIsWhatWasSent(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	const parts, each = 5, 1_300
	for n := range parts {
		for range 2 {
			if err := s.Add("march", n, lines(n*each, each)); err != nil {
				t.Fatal(err)
			}
		}
	}
	set := finish(t, s, "march")
	for range 2 {
		ids := read(t, set)
		total := 0
		for account, list := range ids {
			if total += len(list); !slices.IsSorted(list) {
				t.Errorf("%s is not in order", account)
			}
		}
		if total != parts*each || set.Events != parts*each || len(ids) != 97 {
			t.Errorf("%d events of %d accounts; the set says %d", total, len(ids), set.Events)
		}
		if err := set.SetShown(backfill.Shown{Positions: map[int]uint64{1: 7}}); err != nil {
			t.Fatal(err)
		}
		digest := set.Digest
		var err error
		if set, err = open(t, dir).Get("march"); err != nil {
			t.Fatal(err)
		}
		if shown, ok, err := set.Shown(); err != nil || !ok || shown.Positions[1] != 7 || set.Digest != digest {
			t.Errorf("%+v %v %v %s", shown, ok, err, set.Digest)
		}
	}
}

// What cannot be a set is refused, and what was refused is not half taken.
func TestRefusedParts(t *testing.T) {
	s := open(t, t.TempDir())
	is := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("want %v, have %v", want, err)
		}
	}
	is(s.Add("No Name", 0, lines(0, 1)), backfill.ErrName)
	is(s.Add("a", 1, lines(0, 1)), backfill.ErrSequence)
	is(s.Add("a", 0, nil), nil)
	_, err := s.Finish("a", "ann", time.Time{})
	is(err, backfill.ErrEmpty)
	is(s.Add("a", 2, lines(0, 1)), backfill.ErrSequence)
	var line *ingest.LineError
	if err := s.Add("a", 1, append(lines(0, 2), "no event\n"...)); !errors.As(err, &line) {
		t.Errorf("%v", err)
	}
	is(s.Add("a", 1, lines(0, 3)), nil)
	if set := finish(t, s, "a"); set.Events != 3 {
		t.Errorf("%d events", set.Events)
	}
	is(s.Add("a", 0, lines(0, 1)), backfill.ErrExists)
	_, err = s.Finish("b", "ann", time.Time{})
	is(err, backfill.ErrNone)
	is(s.Drop("b"), backfill.ErrNone)
}

// A set that is being sent counts, is listed, and can be dropped or begun anew; a restart
// forgets it.
func TestUnfinishedSets(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for n := range backfill.SetsMax {
		if err := s.Add(fmt.Sprint("set-", n), 0, lines(0, 1+n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Add("more", 0, lines(0, 1)); !errors.Is(err, backfill.ErrMany) {
		t.Errorf("%v", err)
	}
	if list := s.Sending(); len(list) != backfill.SetsMax || list[0] != (backfill.Sending{Name: "set-0", Events: 1}) {
		t.Errorf("%+v", list)
	}
	if err := errors.Join(s.Drop("set-0"), s.Add("more", 0, lines(0, 1)), s.Add("set-1", 0, lines(5, 4))); err != nil {
		t.Error(err)
	}
	if set := finish(t, s, "set-1"); set.Events != 4 || len(s.Sending()) != backfill.SetsMax-1 {
		t.Errorf("%+v, %+v", set, s.Sending())
	}
	s = open(t, dir)
	if len(s.Sending()) != 0 || len(s.List()) != 1 {
		t.Errorf("%+v %+v", s.Sending(), s.List())
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
}

// A flipped bit in a bucket, or a shorter file, is found.
func TestDamagedBucket(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Add("a", 0, lines(0, 50)); err != nil {
		t.Fatal(err)
	}
	set := finish(t, s, "a")
	bucket := set.Buckets[0]
	path := filepath.Join(dir, "a", bucket.File)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		flipped := slices.Clone(whole)
		flipped[n] ^= 1 << (n % 8)
		for _, damaged := range [][]byte{flipped, whole[:n]} {
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := set.Each(bucket, func(uint64, []byte) error { return nil }); !errors.Is(err, backfill.ErrCorrupt) {
				t.Fatalf("byte %d: %v", n, err)
			}
		}
	}
}
