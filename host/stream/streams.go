package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// metadataPartitions is the key in a usage stream's metadata that says how many
// partitions the log has, so that a set half made by a crash is completed and
// not taken for a smaller one.
const metadataPartitions = "tollway.partitions"

// EnsureStreams makes the streams that are missing and checks those that are
// there. A log with another number of partitions is refused, and so is one that
// was complete and has lost a stream: neither can be repaired by making streams.
func (c *Conn) EnsureStreams(ctx context.Context, partitions int) error {
	if partitions < 1 || partitions > PartitionsMax {
		return fmt.Errorf("stream: %d partitions: there must be 1 to %d", partitions, PartitionsMax)
	}
	if err := c.checkPartitions(ctx, partitions); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	wanted := c.wantedStreams(partitions)
	found, err := c.configs(ctx, wanted)
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	if _, complete := found[Ledger]; complete {
		missing := slices.DeleteFunc(missingStreams(wanted, found), func(p Problem) bool {
			return p.Stream == Alerts // a log that is older than alerts gets it now
		})
		if len(missing) > 0 {
			return &StreamsError{Problems: missing}
		}
	}
	for _, config := range wanted {
		if _, ok := found[config.Name]; ok {
			continue
		}
		if err := c.makeStream(ctx, config); err != nil {
			return err
		}
	}
	c.partitions.Store(int32(partitions))
	_, err = c.CheckStreams(ctx)
	return err
}

// wantedStreams lists the streams of a log. LEDGER is last: where it exists, the
// set was completed once.
func (c *Conn) wantedStreams(partitions int) []jetstream.StreamConfig {
	var out []jetstream.StreamConfig
	for p := range partitions {
		config := c.streamConfig(Usage(p), EventSubject(p), BatchSubject(p), ControlSubject(p, ">"))
		config.Metadata = map[string]string{metadataPartitions: strconv.Itoa(partitions)}
		out = append(out, config)
	}
	return append(out,
		c.streamConfig(Catalog, "catalog.>"),
		c.streamConfig(Invoices, "invoices.*"),
		c.streamConfig(DeadLetters, "dead_letters.*"),
		c.streamConfig(Alerts, "alerts.*"),
		c.streamConfig(Plugins, "plugins.*"),
		c.streamConfig(Ledger, "ledger.>"),
	)
}

// streamConfig is an append-only stream. Direct gets are off: they may be
// answered by a replica that lags behind.
func (c *Conn) streamConfig(name string, subjects ...string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Subjects: subjects,
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, Replicas: c.config.Replicas,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1,
		DenyDelete: true, DenyPurge: true, AllowAtomicPublish: true,
	}
}

// makeStream makes one stream.
func (c *Conn) makeStream(ctx context.Context, config jetstream.StreamConfig) error {
	_, err := c.js.CreateStream(ctx, config)
	switch {
	case err == nil:
		c.log.Debug("stream made", "stream", config.Name, "subjects", config.Subjects, "replicas", config.Replicas)
		return nil
	case hasCode(err, codeSubjectOverlap):
		return fmt.Errorf("stream: %s cannot be made: another stream of this account takes one of its subjects %v; "+
			"remove that stream or give Tollway a NATS account of its own: %w", config.Name, config.Subjects, err)
	}
	return fmt.Errorf("stream: %s cannot be made: %w", config.Name, classify(ctx, err))
}

// configs returns the configuration of those of the wanted streams that exist.
func (c *Conn) configs(ctx context.Context, wanted []jetstream.StreamConfig) (map[string]*jetstream.StreamInfo, error) {
	out := make(map[string]*jetstream.StreamInfo, len(wanted))
	for _, w := range wanted {
		s, err := c.js.Stream(ctx, w.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.Name, classify(ctx, err))
		}
		out[w.Name] = s.CachedInfo()
	}
	return out, nil
}

// missingStreams lists wanted streams that are not there.
func missingStreams(wanted []jetstream.StreamConfig, found map[string]*jetstream.StreamInfo) []Problem {
	var out []Problem
	for _, w := range wanted {
		if _, ok := found[w.Name]; !ok {
			out = append(out, Problem{Stream: w.Name, Why: "the stream was part of this log and is gone", Fix: "restore it from a backup"})
		}
	}
	return out
}

// checkPartitions refuses a log that was made with another number of partitions.
// Where there is none yet, any number will do.
func (c *Conn) checkPartitions(ctx context.Context, partitions int) error {
	have, err := c.countPartitions(ctx)
	if err != nil {
		return err
	}
	if have == 0 || have == partitions {
		return nil
	}
	return fmt.Errorf("the log has %d partitions and not %d: the number is fixed when the streams are made, since it decides where an account's events are; "+
		"start with %d partitions, or move to new streams", have, partitions, have)
}

// countPartitions returns how many partitions the log has, 0 when there is none.
func (c *Conn) countPartitions(ctx context.Context) (int, error) {
	names := c.js.StreamNames(ctx, jetstream.WithStreamListSubject("usage.>"))
	count, example := 0, ""
	for name := range names.Name() {
		if isUsage(name) {
			count++
			example = name
		}
	}
	if err := names.Err(); err != nil {
		return 0, fmt.Errorf("list of streams: %w", classify(ctx, err))
	}
	if count == 0 {
		return 0, nil
	}
	s, err := c.js.Stream(ctx, example)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", example, classify(ctx, err))
	}
	if said, err := strconv.Atoi(s.CachedInfo().Config.Metadata[metadataPartitions]); err == nil {
		return said, nil
	}
	return count, nil
}

// handle returns the library's handle of a stream, which is made once.
func (c *Conn) handle(ctx context.Context, name string) (jetstream.Stream, error) {
	c.mu.Lock()
	s := c.handles[name]
	c.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := c.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%s: %w", name, errors.Join(ErrNotFound, err))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, classify(ctx, err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handles[name] = s
	return s, nil
}
