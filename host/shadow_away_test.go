package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/tollway/tollway/host/stream"
)

// awayLog is a log that cannot be asked at first.
type awayLog struct {
	Log
	away int // times that it cannot be asked
	then error
}

func (l *awayLog) Each(_ context.Context, _, _ string, _ uint64, fn func(stream.Message) error) error {
	if l.away--; l.away >= 0 {
		return fmt.Errorf("stream: %w", stream.ErrUnavailable)
	}
	return errors.Join(l.then, fn(stream.Message{Data: []byte(`{"tariff":"api"}`)}))
}

// NATS that is away when a host begins to run does not end it.
func TestShadowsWaitForNATS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shadows{host: &Host{conn: &awayLog{away: 5}, log: slog.New(slog.DiscardHandler)}}
		records, err := s.recorded(t.Context())
		if _, ok := records["api"]; err != nil || !ok {
			t.Fatal(records, err)
		}
		broken := errors.New("the ledger is damaged")
		s.host.conn = &awayLog{away: 5, then: broken}
		if _, err := s.recorded(t.Context()); !errors.Is(err, broken) {
			t.Fatal(err)
		}
		s.host.conn = &awayLog{away: 1 << 30}
		ctx, cancel := context.WithTimeout(t.Context(), 10*readPause+readPause/2) // not when a pause ends
		defer cancel()
		if _, err := s.recorded(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
}
