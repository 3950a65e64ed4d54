package natsd

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// with calls f with the streams of a server.
func (s *Server) with(f func(jetstream.JetStream) error) error {
	nc, err := nats.Connect(s.URL())
	if err != nil {
		return fmt.Errorf("natsd: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("natsd: %w", err)
	}
	return f(js)
}

// MakeStream makes a stream of somebody else's.
func (s *Server) MakeStream(ctx context.Context, name string, subjects ...string) error {
	return s.with(func(js jetstream.JetStream) error {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: subjects})
		return err
	})
}

// DeleteStream deletes a stream, which its configuration does not allow: what a
// careless administrator does.
func (s *Server) DeleteStream(ctx context.Context, name string) error {
	return s.with(func(js jetstream.JetStream) error { return js.DeleteStream(ctx, name) })
}

// RemakeStream deletes a stream and makes an empty one of the same configuration.
func (s *Server) RemakeStream(ctx context.Context, name string) error {
	return s.with(func(js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return err
		}
		config := stream.CachedInfo().Config
		if err := js.DeleteStream(ctx, name); err != nil {
			return err
		}
		_, err = js.CreateStream(ctx, config)
		return err
	})
}

// Stored is what a stream holds.
type Stored struct{ First, Last, Messages uint64 }

// Look says what a stream holds.
func (s *Server) Look(ctx context.Context, name string) (stored Stored, err error) {
	err = s.with(func(js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return err
		}
		state := stream.CachedInfo().State
		stored = Stored{state.FirstSeq, state.LastSeq, state.Msgs}
		return nil
	})
	return stored, err
}

// Messages returns the bodies of a stream's messages by their subjects. A subject with
// more than one is an error.
func (s *Server) Messages(ctx context.Context, name string) (map[string][]byte, error) {
	bodies := map[string][]byte{}
	err := s.with(func(js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return err
		}
		state := stream.CachedInfo().State
		for n := state.FirstSeq; n <= state.LastSeq && state.Msgs > 0; n++ {
			m, err := stream.GetMsg(ctx, n)
			if err != nil {
				return err
			}
			if bodies[m.Subject] != nil {
				return fmt.Errorf("natsd: %s has two messages of subject %s", name, m.Subject)
			}
			bodies[m.Subject] = m.Data
		}
		return nil
	})
	return bodies, err
}

// Purge empties a stream.
func (s *Server) Purge(ctx context.Context, name string) error {
	return s.with(func(js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return err
		}
		return stream.Purge(ctx)
	})
}

// DeleteMessage deletes a message of a stream.
func (s *Server) DeleteMessage(ctx context.Context, name string, sequence uint64) error {
	return s.with(func(js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return err
		}
		return stream.DeleteMsg(ctx, sequence)
	})
}

// LimitStream sets how old a stream's messages become; 0 is any age.
func (s *Server) LimitStream(ctx context.Context, name string, age time.Duration) error {
	return s.with(func(js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return err
		}
		config := stream.CachedInfo().Config
		config.MaxAge = age
		_, err = js.UpdateStream(ctx, config)
		return err
	})
}
