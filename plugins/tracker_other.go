//go:build !linux

package plugins

import "errors"

// tracker tracks nothing here: snapshots are copied as a whole.
type tracker struct{}

var errUntracked = errors.New("written pages cannot be told apart on this system")

func newTracker() *tracker { return nil }

func (t *tracker) close() error { return nil }

func (t *tracker) track([]byte, span) ([]byte, error) { return nil, errUntracked }

func (t *tracker) renew([]byte, []byte, span) error { return errUntracked }

func (t *tracker) revert(memory, image []byte, skip span) {
	copy(memory[:skip.from], image[:skip.from])
	copy(memory[skip.to:], image[skip.to:])
}
