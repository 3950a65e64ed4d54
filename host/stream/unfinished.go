package stream

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// removeUnfinished removes what a crash has left of the making of a stream. The
// server (2.15) writes what a stream is into meta.inf and its sum into meta.sum, in
// this order. A crash in between leaves the first alone: the server does not know
// the stream then, and, asked to make it again, sees a meta.inf and writes no sum.
// Such a stream takes messages and acknowledges them, and at the next start it is
// gone. So a meta.inf without a sum goes before the server starts, where no message
// was ever written behind it.
func removeUnfinished(storeDir string) (removed []string, err error) {
	metas, err := filepath.Glob(filepath.Join(storeDir, "jetstream", "*", "streams", "*", "meta.inf"))
	if err != nil {
		return nil, fmt.Errorf("embedded NATS server: %w", err)
	}
	for _, meta := range metas {
		folder := filepath.Dir(meta)
		if _, err := os.Stat(filepath.Join(folder, "meta.sum")); err == nil || !errors.Is(err, fs.ErrNotExist) {
			continue // whole; or the server has to say what is wrong
		}
		blocks, err := filepath.Glob(filepath.Join(folder, "msgs", "*.blk"))
		if err != nil {
			return removed, fmt.Errorf("embedded NATS server: %w", err)
		}
		if holdsBytes(blocks) {
			continue
		}
		if err := os.Remove(meta); err != nil {
			return removed, fmt.Errorf("embedded NATS server: %w", err)
		}
		removed = append(removed, filepath.Base(folder))
	}
	return removed, nil
}

// holdsBytes reports whether one of some files is not empty, or cannot be asked.
func holdsBytes(files []string) bool {
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.Size() > 0 {
			return true
		}
	}
	return false
}
