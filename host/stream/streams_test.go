package stream

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestEnsureStreams(t *testing.T) {
	c := openEmbedded(t, 3)
	ctx := testContext(t)
	if err := c.EnsureStreams(ctx, 3); err != nil {
		t.Fatalf("a second time: %v", err)
	}
	warnings, err := c.CheckStreams(ctx)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v %v", warnings, err)
	}
	var names []string
	for name := range c.js.StreamNames(ctx).Name() {
		names = append(names, name)
	}
	if got := sortedSubjects(names); got != "ALERTS, CATALOG, DEAD_LETTERS, INVOICES, LEDGER, PLUGINS, USAGE-0, USAGE-1, USAGE-2" {
		t.Errorf("made %s", got)
	}
	for _, n := range []int{0, -1, PartitionsMax + 1} {
		mustFail(t, c.EnsureStreams(ctx, n), "partitions: there must be 1 to")
	}
	mustFail(t, c.EnsureStreams(ctx, 4), "the log has 3 partitions and not 4", "fixed when the streams are made")
	fresh := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir()}})
	if _, err := fresh.CheckStreams(ctx); err == nil {
		t.Error("CheckStreams before EnsureStreams")
	}
}

// A crash in the middle of making the streams leaves some; they are completed
// and not taken for a log with fewer partitions.
func TestHalfMadeStreamsAreCompleted(t *testing.T) {
	c := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir(), Partitions: 4}})
	ctx := testContext(t)
	for _, config := range c.wantedStreams(4)[:2] {
		if err := c.makeStream(ctx, config); err != nil {
			t.Fatal(err)
		}
	}
	mustFail(t, c.EnsureStreams(ctx, 2), "the log has 4 partitions and not 2")
	if err := c.EnsureStreams(ctx, 4); err != nil {
		t.Fatal(err)
	}
}

// A stream that was there once is not made again: its events are gone.
func TestMissingStreamIsRefused(t *testing.T) {
	c := openEmbedded(t, 3)
	ctx := testContext(t)
	for _, name := range []string{Usage(1), Invoices} {
		if err := c.js.DeleteStream(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{c.EnsureStreams(ctx, 3), second(c.CheckStreams(ctx))} {
		mustFail(t, err, "USAGE-1: the stream was part of this log and is gone", "INVOICES: the stream was part", "restore it from a backup")
		var e *StreamsError
		if !errors.As(err, &e) || len(e.Problems) != 2 {
			t.Errorf("%T", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestRemadeStreamIsNoticed(t *testing.T) {
	c := openEmbedded(t, 1)
	ctx := testContext(t)
	if err := c.js.DeleteStream(ctx, Usage(0)); err != nil {
		t.Fatal(err)
	}
	if err := c.makeStream(ctx, c.wantedStreams(1)[0]); err != nil {
		t.Fatal(err)
	}
	_, err := c.CheckStreams(ctx)
	mustFail(t, err, "USAGE-0: created is", "deleted and made anew")
}

// Every setting that could lose events is refused, all of them at once, each
// with what was found, what is wanted and what to do.
func TestEveryRuleRefuses(t *testing.T) {
	c := &Conn{config: Config{Replicas: 1}}
	want := c.wantedStreams(2)[1]
	if p := checkConfig(want, want); len(p) > 0 {
		t.Fatalf("a right stream is refused: %v", p)
	}
	cases := map[string]func(*jetstream.StreamConfig){
		"storage is memory, must be file":            func(s *jetstream.StreamConfig) { s.Storage = jetstream.MemoryStorage },
		"retention is interest, must be limits":      func(s *jetstream.StreamConfig) { s.Retention = jetstream.InterestPolicy },
		"discard is old, must be new":                func(s *jetstream.StreamConfig) { s.Discard = jetstream.DiscardOld },
		"deny_delete is false, must be true":         func(s *jetstream.StreamConfig) { s.DenyDelete = false },
		"deny_purge is false, must be true":          func(s *jetstream.StreamConfig) { s.DenyPurge = false },
		"max_age is 24h0m0s, must be 0":              func(s *jetstream.StreamConfig) { s.MaxAge = 24 * time.Hour },
		"max_msgs_per_subject is 5, must be -1":      func(s *jetstream.StreamConfig) { s.MaxMsgsPerSubject = 5 },
		"allow_rollup_hdrs is true, must be false":   func(s *jetstream.StreamConfig) { s.AllowRollup = true },
		"allow_msg_ttl is true, must be false":       func(s *jetstream.StreamConfig) { s.AllowMsgTTL = true },
		"allow_msg_schedules is true, must be false": func(s *jetstream.StreamConfig) { s.AllowMsgSchedules = true },
		"allow_msg_counter is true, must be false":   func(s *jetstream.StreamConfig) { s.AllowMsgCounter = true },
		"no_ack is true, must be false":              func(s *jetstream.StreamConfig) { s.NoAck = true },
		"persist_mode is async, must be default":     func(s *jetstream.StreamConfig) { s.PersistMode = jetstream.AsyncPersistMode },
		"mirror is X, must be none":                  func(s *jetstream.StreamConfig) { s.Mirror = &jetstream.StreamSource{Name: "X"} },
		"sources is X, Y, must be none":              func(s *jetstream.StreamConfig) { s.Sources = []*jetstream.StreamSource{{Name: "X"}, {Name: "Y"}} },
		"subject_transform is a to b, must be none": func(s *jetstream.StreamConfig) {
			s.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "a", Destination: "b"}
		},
		"first_seq is 7, must be 1":                     func(s *jetstream.StreamConfig) { s.FirstSeq = 7 },
		"sealed is true, must be false":                 func(s *jetstream.StreamConfig) { s.Sealed = true },
		"allow_atomic is false, must be true":           func(s *jetstream.StreamConfig) { s.AllowAtomicPublish = false },
		"subjects is usage.>, must be usage.1.batch, u": func(s *jetstream.StreamConfig) { s.Subjects = []string{"usage.>"} },
		"tollway.partitions is 9, must be 2":            func(s *jetstream.StreamConfig) { s.Metadata = map[string]string{metadataPartitions: "9"} },
	}
	if len(cases) != len(rules())+2 {
		t.Errorf("%d cases for %d rules", len(cases), len(rules())+2)
	}
	all := want
	for text, spoil := range cases {
		got := want
		spoil(&got)
		spoil(&all)
		problems := checkConfig(want, got)
		if len(problems) != 1 {
			t.Errorf("%s: %v", text, problems)
			continue
		}
		line := problems[0].String()
		if !strings.HasPrefix(line, "USAGE-1: ") || !strings.Contains(line, text) || problems[0].Why == "" ||
			!strings.Contains(line, "nats stream edit USAGE-1") && !strings.Contains(line, "make the stream anew") {
			t.Errorf("%s: %s", text, line)
		}
	}
	if problems := checkConfig(want, all); len(problems) != len(cases) {
		t.Errorf("all at once: %d of %d", len(problems), len(cases))
	}
	text := (&StreamsError{Problems: checkConfig(want, all)}).Error()
	if strings.Count(text, "\n") != len(cases) {
		t.Errorf("not one line for each:\n%s", text)
	}
}

// An operator changes a running stream; the next check says so.
func TestChangedStreamIsRefused(t *testing.T) {
	p := startNATS(t, plainJetStream)
	c := openTest(t, Config{URL: p.url()})
	ctx := testContext(t)
	if err := c.EnsureStreams(ctx, 2); err != nil {
		t.Fatal(err)
	}
	config := c.wantedStreams(2)[1]
	config.MaxAge, config.Discard = time.Hour, jetstream.DiscardOld
	config.MaxBytes = 1 << 30
	if _, err := c.js.UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	warnings, err := c.CheckStreams(ctx)
	mustFail(t, err, "the streams in NATS cannot be trusted", "USAGE-1: max_age is 1h0m0s", "USAGE-1: discard is old", "nats stream edit USAGE-1")
	if !strings.Contains(strings.Join(warnings, "\n"), "stream USAGE-1: max_bytes is 1073741824") {
		t.Errorf("warnings %q", warnings)
	}
	other := openTest(t, Config{URL: p.url()})
	mustFail(t, other.EnsureStreams(ctx, 2), "USAGE-1: max_age is 1h0m0s")
}

// Streams that somebody else made are judged like any others.
func TestForeignStreams(t *testing.T) {
	p := startNATS(t, plainJetStream)
	c := openTest(t, Config{URL: p.url()})
	ctx := testContext(t)
	if _, err := c.js.CreateStream(ctx, jetstream.StreamConfig{Name: "THEIRS", Subjects: []string{"usage.1.>"}}); err != nil {
		t.Fatal(err)
	}
	mustFail(t, c.EnsureStreams(ctx, 2), "USAGE-1 cannot be made", "another stream of this account takes one of its subjects", "a NATS account of its own")
	if err := c.js.DeleteStream(ctx, "THEIRS"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.js.CreateStream(ctx, jetstream.StreamConfig{Name: Catalog, Subjects: []string{"catalog.>"}, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	mustFail(t, c.EnsureStreams(ctx, 2), "CATALOG: storage is memory", "CATALOG: deny_delete is false", "CATALOG: allow_atomic is false")
}

func TestWarnsOfLoneServer(t *testing.T) {
	p := startNATS(t, plainJetStream)
	c := openTest(t, Config{URL: p.url()})
	if err := c.EnsureStreams(testContext(t), 1); err != nil {
		t.Fatal(err)
	}
	warnings, err := c.CheckStreams(testContext(t))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "sync_interval: always") {
		t.Errorf("%q %v", warnings, err)
	}
	c.config.Replicas = 3
	warnings, err = c.CheckStreams(testContext(t))
	if err != nil || !strings.Contains(strings.Join(warnings, "\n"), "USAGE-0 has 1 copies and not the 3 asked for") {
		t.Errorf("%q %v", warnings, err)
	}
	unsynced := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir(), Unsynced: true, Partitions: 1}})
	if err := unsynced.EnsureStreams(testContext(t), 1); err != nil {
		t.Fatal(err)
	}
	warnings, err = unsynced.CheckStreams(testContext(t))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "does not sync") {
		t.Errorf("%q %v", warnings, err)
	}
}

func TestCheckStreamsWhileAway(t *testing.T) {
	p := startNATS(t, printedConfig(1))
	c := openExternal(t, p, 1)
	p.kill()
	if _, err := c.CheckStreams(testContext(t)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestStreamOf(t *testing.T) {
	for subject, want := range map[string]string{
		EventSubject(3): "USAGE-3", BatchSubject(0): "USAGE-0", ControlSubject(12, "close.UTC.1.2026-01-01"): "USAGE-12",
		"catalog.object": Catalog, "ledger.owner": Ledger, InvoicesSubject(1): Invoices, DeadLettersSubject(2): DeadLetters, "plugins.ab": Plugins,
		"usage.in.emma": "", "usage.x.ev": "", "usage.3": "", "other": "", "": "",
	} {
		got, err := streamOf(subject)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q %v", subject, got, err)
		}
	}
	for name, want := range map[string]bool{"USAGE-0": true, "USAGE-17": true, "USAGE-": false, "USAGE-01": false, "USAGE--1": false, "X": false} {
		if ok := isUsage(name); ok != want {
			t.Errorf("%s: %v", name, ok)
		}
	}
}
