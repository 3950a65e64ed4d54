package host

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/identity"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/plugins"
)

// Parts are what stands around the engine: the log, the state store and the
// compiled plugins. Without them a host opens NATS, a directory and a runtime of
// its own. The simulator puts its own in their place, and so runs everything
// between them as it is.
type Parts struct {
	// OpenLog and OpenStore are called once by Open; Close closes what they return.
	OpenLog   func(ctx context.Context) (Log, error)
	OpenStore func() (Store, error)
	// BuiltIns are the built-in plugins in their runtime, which outlives the host.
	BuiltIns *BuiltIns
}

// Log is the log as the engine uses it. What its methods promise stands with those
// of [stream.Conn].
type Log interface {
	EnsureStreams(ctx context.Context, partitions int) error
	CheckStreams(ctx context.Context) (warnings []string, err error)
	Claim(ctx context.Context, storeID, host string, takeOver bool) (epoch uint64, err error)
	Anchor(ctx context.Context, partition int, epoch uint64, anchor stream.Anchor) error

	Append(ctx context.Context, subject string, expectLast uint64, header map[string]string, body []byte) (uint64, error)
	Publish(ctx context.Context, out []stream.Outgoing) ([]uint64, error)
	Chain(ctx context.Context, subject string) (LogChain, error)

	Last(ctx context.Context, stream, subject string) (*stream.Message, error)
	Get(ctx context.Context, stream string, sequence uint64) (*stream.Message, error)
	Each(ctx context.Context, stream, subject string, after uint64, fn func(stream.Message) error) error
	LastSequence(ctx context.Context, stream string) (first, last uint64, err error)
	Reader(ctx context.Context, partition int, after uint64) (LogReader, error)

	PutPlugin(ctx context.Context, digest string, wasm []byte) error
	GetPlugin(ctx context.Context, digest string) ([]byte, error)
	ListPlugins(ctx context.Context) ([]string, error)

	MessageBytesMax() int
	Close() error
}

// LogReader reads a partition; see [stream.Reader].
type LogReader interface {
	Next(ctx context.Context, limit stream.Limit) ([]stream.Message, error)
	Pending() uint64
	Close()
}

// LogChain writes numbered entries; see [stream.Chain].
type LogChain interface {
	Last() uint64
	Publish(ctx context.Context, first uint64, entries [][]byte) error
}

// Store keeps the state of the partitions; see [checkpoint.Store].
type Store interface {
	ID() string
	Partition(p int) (PartitionStore, error)
	Stats() checkpoint.Stats
	DiskBytes() (int64, error)
	Close() error
}

// PartitionStore keeps the state of one partition; see [checkpoint.Partition].
type PartitionStore interface {
	identity.Store
	Header() (header []byte, number uint64, err error)
	Load(table uint8, fn func(key, value []byte) error) error
	LogBackward(log uint8, fn func(n uint64, entry []byte) error) error
	Commit(c *checkpoint.Commit) error
}

// natsLog is the real log.
type natsLog struct{ *stream.Conn }

// Chain finds where the entries of a subject stand.
func (l natsLog) Chain(ctx context.Context, subject string) (LogChain, error) {
	c, err := l.Conn.Chain(ctx, subject)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Reader reads a partition from the message after a sequence on.
func (l natsLog) Reader(ctx context.Context, partition int, after uint64) (LogReader, error) {
	r, err := l.Conn.Reader(ctx, partition, after)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// directoryStore is the real store.
type directoryStore struct{ *checkpoint.Store }

// Partition opens a partition.
func (s directoryStore) Partition(p int) (PartitionStore, error) {
	partition, err := s.Store.Partition(p)
	if err != nil {
		return nil, err
	}
	return partition, nil
}

// Reset begins a partition anew.
func (s directoryStore) Reset(p int) (PartitionStore, error) {
	partition, err := s.Store.Reset(p)
	if err != nil {
		return nil, err
	}
	return partition, nil
}

// openLog connects to the log.
func (c Config) openLog(ctx context.Context) (Log, error) {
	if c.Parts != nil {
		return c.Parts.OpenLog(ctx)
	}
	conn, err := stream.Open(ctx, c.NATS)
	if err != nil {
		return nil, err
	}
	return natsLog{conn}, nil
}

// openStore opens the state.
func (c Config) openStore() (Store, error) {
	if c.Parts != nil {
		return c.Parts.OpenStore()
	}
	s, err := c.openDirectory(filepath.Join(c.DataDir, stateName))
	if err != nil {
		return nil, err
	}
	return directoryStore{s}, nil
}

// openPlugins makes the runtime of plugins, lists the built-in ones, and returns what ends
// it, which is nil when there is nothing to end.
func (c Config) openPlugins(ctx context.Context) (*BuiltIns, func(context.Context) error, error) {
	if c.Parts != nil {
		return c.Parts.BuiltIns, nil, nil
	}
	r, err := plugins.NewRuntime(ctx, plugins.Config{CacheDir: c.PluginCache})
	if err != nil {
		return nil, nil, err
	}
	b, err := listBuiltIns(r)
	return b, r.Close, err
}

// validate reports what is missing.
func (p *Parts) validate() error {
	if p.OpenLog == nil || p.OpenStore == nil || p.BuiltIns == nil {
		return errors.New("a log, a store and the built-in plugins must be given together")
	}
	return nil
}
