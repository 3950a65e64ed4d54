package deliver

import (
	"context"
	"errors"
	"sync"

	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/stream"
)

// publisher is a NATS server.
type publisher interface {
	PublishOnce(ctx context.Context, subject, id string, body []byte) error
	MessageBytesMax() int
}

// bus publishes each invoice to a subject that ends in its id, as the first
// message of that subject, so it is there once however often it is published.
type bus struct {
	config NATS
	log    publisher // the log's server

	mu  sync.Mutex
	own *stream.Conn // to another server; nil until the first invoice
}

func newBus(config NATS, log publisher) *bus { return &bus{config: config, log: log} }

// deliver implements receiver.
func (b *bus) deliver(ctx context.Context, inv *Invoice) error {
	conn, err := b.conn(ctx)
	if err != nil {
		return err
	}
	body := inv.Document
	if len(body) > conn.MessageBytesMax() {
		body = inv.Short
	}
	failpoint.Hit("bus.before-publish")
	err = conn.PublishOnce(ctx, b.config.Subject+"."+inv.ID, inv.ID, body)
	if errors.Is(err, stream.ErrConflict) {
		return &failure{kind: failedRefused, err: err}
	}
	return err
}

// conn returns the connection, which is made when it is needed: the server may be
// away when the host starts.
func (b *bus) conn(ctx context.Context) (publisher, error) {
	if b.config.Server.URL == "" {
		return b.log, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.own == nil {
		own, err := stream.Open(ctx, b.config.Server)
		if err != nil {
			return nil, err
		}
		b.own = own
	}
	return b.own, nil
}

// close implements receiver.
func (b *bus) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.own == nil {
		return nil
	}
	return b.own.Close()
}
