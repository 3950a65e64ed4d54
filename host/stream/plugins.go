package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// Plugins are kept in a stream of their own, each under its digest, cut into
// chunks that are written as one atomic batch behind a guard that lets only the
// first through. What is there is there for good and is never written twice.
const (
	pluginSubject    = "plugins."
	pluginChunkBytes = 512 << 10
	pluginBytesMax   = 64 << 20
	digestPrefix     = "sha256:"
)

// pluginKey checks a digest and returns its subject.
func pluginKey(digest string) (string, error) {
	sum, ok := strings.CutPrefix(digest, digestPrefix)
	if b, err := hex.DecodeString(sum); !ok || err != nil || len(b) != sha256.Size || strings.ToLower(sum) != sum {
		return "", fmt.Errorf("stream: plugin %q: a digest is sha256: and 64 lower-case hex digits", digest)
	}
	return pluginSubject + sum, nil
}

// PutPlugin keeps the bytes of a plugin under their digest ("sha256:" and hex).
// Bytes that are there already are left as they are.
func (c *Conn) PutPlugin(ctx context.Context, digest string, wasm []byte) error {
	subject, err := pluginKey(digest)
	if err != nil {
		return err
	}
	if got := digestOf(wasm); got != digest {
		return fmt.Errorf("stream: plugin %s: the bytes have digest %s", digest, got)
	}
	if len(wasm) == 0 || len(wasm) > pluginBytesMax {
		return fmt.Errorf("stream: plugin %s: %d bytes; there must be 1 to %d", digest, len(wasm), pluginBytesMax)
	}
	failpoint.Hit("plugin.before-store")
	nonce := nuid.Next()
	_, err = c.untilKnown(ctx, guard{Plugins, subject, 0, nonce}, func() (uint64, error) {
		return c.writeTogether(ctx, pluginMessages(subject, nonce, wasm, c.chunkBytes()))
	})
	if errors.Is(err, ErrConflict) {
		return nil // somebody has put the same bytes there
	}
	if err != nil {
		return fmt.Errorf("stream: plugin %s: %w", digest, err)
	}
	return nil
}

// chunkBytes is how much of a plugin goes into one message.
func (c *Conn) chunkBytes() int {
	return int(min(pluginChunkBytes, c.nc.MaxPayload()-headerReserveBytes))
}

// pluginMessages cuts a plugin into messages.
func pluginMessages(subject, nonce string, wasm []byte, chunkBytes int) []*nats.Msg {
	chunks := slices.Collect(slices.Chunk(wasm, chunkBytes))
	messages := make([]*nats.Msg, len(chunks))
	for i, chunk := range chunks {
		messages[i] = &nats.Msg{Subject: subject, Data: chunk}
	}
	guarded(messages[0], 0, nonce)
	return messages
}

// GetPlugin returns the bytes of a plugin, checked against their digest;
// ErrNotFound when it was never put there.
func (c *Conn) GetPlugin(ctx context.Context, digest string) ([]byte, error) {
	subject, err := pluginKey(digest)
	if err != nil {
		return nil, err
	}
	var wasm bytes.Buffer
	err = c.Each(ctx, Plugins, subject, 0, func(m Message) error {
		wasm.Write(m.Data)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", digest, err)
	}
	if wasm.Len() == 0 {
		return nil, fmt.Errorf("stream: plugin %s: %w", digest, ErrNotFound)
	}
	if got := digestOf(wasm.Bytes()); got != digest {
		return nil, fmt.Errorf("stream: plugin %s is damaged in stream %s: what is there has digest %s; restore the stream from a backup", digest, Plugins, got)
	}
	return wasm.Bytes(), nil
}

// ListPlugins returns the digests of all plugins, sorted.
func (c *Conn) ListPlugins(ctx context.Context) ([]string, error) {
	s, err := c.js.Stream(ctx, Plugins) // its own handle: Info changes it
	if err != nil {
		return nil, fmt.Errorf("stream: plugins: %w", classify(ctx, err))
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(pluginSubject+"*"))
	if err != nil {
		return nil, fmt.Errorf("stream: plugins: %w", classify(ctx, err))
	}
	digests := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		digests = append(digests, digestPrefix+strings.TrimPrefix(subject, pluginSubject))
	}
	slices.Sort(digests)
	return digests, nil
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return digestPrefix + hex.EncodeToString(sum[:])
}
