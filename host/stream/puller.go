package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// puller reads a stream in order from a sequence on. It has a connection of its
// own, so that one that is not read for a while holds up nobody else.
//
// Two pull requests are always outstanding, so that the server never waits for
// the next one; together they bound what is on its way and not yet taken. All
// that ever goes wrong is answered in one way: throw away what was fetched, make
// a new consumer behind the last message that was taken, and check that the
// stream is still the same one. It belongs to one goroutine.
type puller struct {
	conn   *Conn
	nc     *nats.Conn
	js     jetstream.JetStream
	stream string
	filter string // of subjects; empty takes all, and then no sequence may be missing

	taken   uint64    // sequence of the last message that was taken
	last    *nats.Msg // that message; nil before the first
	created time.Time // of the stream; zero before the first start

	consumer  string
	delivered uint64 // messages that the consumer has delivered
	inbox     chan *nats.Msg
	slots     [2]slot
	broken    error         // why a new consumer is needed; nil when none is
	back      chan struct{} // has a token when the connection was lost and is back
	suspect   uint64        // sequence that was missing once; a new consumer must say so too
	idle      time.Duration // between the server's signs of life
	retry     time.Duration // before the next start, after one that brought nothing
}

// slot is one of the outstanding pull requests.
type slot struct {
	sub      *nats.Subscription
	prefix   string // of its reply subjects
	requests uint64
	reply    string // of the current request
	left     int    // messages that it may still bring
	got      int    // messages that it has brought
	bytesMax int64
}

// Limits of a pull request. The server keeps at most 64 MB per connection that
// the client has not read. A message that is larger than a request's bytes doubles
// those of the next.
const (
	pullMessages   = 16384
	pullBytes      = 2 << 20
	pullExpires    = 30 * time.Second
	pullIdle       = 5 * time.Second
	consumerUnused = 2 * time.Minute
	// statusRoom is how many status messages fit beside the messages: a request
	// that nobody looks at brings a sign of life every pullIdle until it expires.
	statusRoom = 64
)

// newPuller connects and starts reading behind a sequence. That the server lets this
// host in was seen when c was opened, so a connection that cannot be made is
// ErrUnavailable, whatever the cause.
func (c *Conn) newPuller(ctx context.Context, stream, filter string, after uint64) (*puller, error) {
	p := &puller{conn: c, stream: stream, filter: filter, taken: after, idle: pullIdle, back: make(chan struct{}, 1)}
	nc, err := c.connect(ctx, "tollway reads "+stream,
		nats.ReconnectHandler(p.cameBack), nats.DisconnectErrHandler(func(*nats.Conn, error) {}))
	if err != nil {
		return nil, unavailable(err)
	}
	p.nc = nc
	if p.js, err = jetstream.New(nc); err == nil {
		err = p.start(ctx)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// cameBack runs in the connection's goroutine.
func (p *puller) cameBack(*nats.Conn) {
	select {
	case p.back <- struct{}{}:
	default:
	}
}

// start makes a new consumer behind the last message that was taken.
func (p *puller) start(ctx context.Context) error {
	if err := p.checkStream(ctx); err != nil {
		return err
	}
	p.stop()
	consumer, err := p.js.CreateConsumer(ctx, p.stream, jetstream.ConsumerConfig{
		Name: "tollway-" + nuid.Next(), DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: p.taken + 1, FilterSubject: p.filter,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: consumerUnused,
	})
	if err != nil {
		return classify(ctx, err)
	}
	p.consumer, p.delivered, p.broken = consumer.CachedInfo().Name, 0, nil
	p.inbox = make(chan *nats.Msg, len(p.slots)*pullMessages+statusRoom)
	for i := range p.slots {
		s := &p.slots[i]
		*s = slot{prefix: p.nc.NewInbox() + ".", bytesMax: pullBytes}
		if s.sub, err = p.nc.ChanSubscribe(s.prefix+"*", p.inbox); err != nil {
			return classify(ctx, err)
		}
	}
	// The first request is half as large, so that the two do not end at the same
	// time.
	p.request(&p.slots[0], pullMessages/2)
	p.request(&p.slots[1], pullMessages)
	return nil
}

// stop ends what start began. The consumer is left for the server to clear up:
// it may be the server that is gone.
func (p *puller) stop() {
	for i := range p.slots {
		if sub := p.slots[i].sub; sub != nil {
			_ = sub.Unsubscribe() // fails only where the connection is closed
		}
		p.slots[i] = slot{}
	}
}

// close ends the connection.
func (p *puller) close() {
	if p.consumer != "" && p.nc.IsConnected() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.js.DeleteConsumer(ctx, p.stream, p.consumer); err != nil {
			p.conn.log.Debug("consumer left to the server to clear up", "stream", p.stream, "error", err)
		}
	}
	p.stop()
	p.nc.Close()
}

// checkStream makes sure that the stream is the one that was read so far.
func (p *puller) checkStream(ctx context.Context) error {
	s, err := p.js.Stream(ctx, p.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return &StreamChangedError{Stream: p.stream, Position: p.taken, Reason: "it does not exist"}
	}
	if err != nil {
		return classify(ctx, err)
	}
	info := s.CachedInfo()
	changed := func(format string, args ...any) error {
		return &StreamChangedError{Stream: p.stream, Position: p.taken, Last: info.State.LastSeq, Reason: fmt.Sprintf(format, args...)}
	}
	if !p.created.IsZero() && !p.created.Equal(info.Created) {
		return changed("it was made anew at %s", info.Created.UTC().Format(time.RFC3339))
	}
	if info.State.LastSeq < p.taken {
		return changed("it ends at %d", info.State.LastSeq)
	}
	p.created = info.Created
	if p.last == nil {
		return nil
	}
	m, err := s.GetMsg(ctx, p.taken)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return changed("the message at that position is gone")
	}
	if err != nil {
		return classify(ctx, err)
	}
	if m.Subject != p.last.Subject || !bytes.Equal(m.Data, p.last.Data) {
		return changed("another message stands at that position")
	}
	return nil
}

// request asks for more messages.
func (p *puller) request(s *slot, messages int) {
	s.requests++
	s.reply = s.prefix + strconv.FormatUint(s.requests, 36)
	s.left, s.got = messages, 0
	body := fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}`, messages, s.bytesMax, pullExpires, p.idle)
	if err := p.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+p.stream+"."+p.consumer, s.reply, body); err != nil {
		p.broken = err
	}
}

// tryReceive returns the next message if it is here already, else nil.
func (p *puller) tryReceive() (*nats.Msg, delivery) {
	for p.broken == nil {
		select {
		case m := <-p.inbox:
			if d, ok := p.take(m); ok {
				return m, d
			}
		default:
			return nil, delivery{}
		}
	}
	return nil, delivery{}
}

// errIdle is what receive returns when its time is over and nothing came.
var errIdle = errors.New("nothing came")

// receive waits for the next message, and mends what breaks meanwhile. When
// until fires first it returns errIdle.
func (p *puller) receive(ctx context.Context, until <-chan time.Time) (*nats.Msg, delivery, error) {
	silence := time.NewTimer(2 * p.idle)
	defer silence.Stop()
	for {
		if p.broken != nil {
			if err := p.mend(ctx); err != nil {
				return nil, delivery{}, err
			}
			silence.Reset(2 * p.idle)
		}
		select {
		case m := <-p.inbox:
			if d, ok := p.take(m); ok {
				return m, d, nil
			}
			silence.Reset(2 * p.idle)
		case <-until:
			return nil, delivery{}, errIdle
		case <-ctx.Done():
			return nil, delivery{}, ctx.Err()
		case <-p.back:
			p.broken = errors.New("the connection was lost")
		case <-silence.C:
			p.broken = errors.New("the server has gone silent")
		}
	}
}

// take looks at what arrived and reports whether it is the next message.
func (p *puller) take(m *nats.Msg) (delivery, bool) {
	s := &p.slots[0]
	if m.Sub != s.sub {
		s = &p.slots[1]
	}
	d, ok := parseDelivery(m.Reply)
	if !ok {
		p.status(s, m)
		return d, false
	}
	if d.consumer != p.delivered+1 {
		p.broken = fmt.Errorf("message %d of the consumer came instead of %d", d.consumer, p.delivered+1)
		return d, false
	}
	if p.filter == "" && d.sequence != p.taken+1 && p.suspect != p.taken+1 {
		// The stream seems to have a hole. Only if a new consumer says so as well
		// it is true.
		p.suspect = p.taken + 1
		p.broken = fmt.Errorf("message %d came instead of %d", d.sequence, p.taken+1)
		return d, false
	}
	p.delivered = d.consumer
	s.got++
	if s.left--; s.left == 0 {
		p.request(s, pullMessages)
	}
	return d, true
}

// took notes that a message was taken, behind which a new consumer would begin.
func (p *puller) took(m *nats.Msg, d delivery) {
	p.taken, p.last, p.retry = d.sequence, m, 0
}

// status acts on what the server says about a request.
func (p *puller) status(s *slot, m *nats.Msg) {
	code := m.Header.Get("Status")
	if code == "100" || m.Subject != s.reply {
		return // a sign of life, or about a request that was counted as done
	}
	switch description := m.Header.Get("Description"); {
	case code == "408", code == "404":
	case code == "409" && description == "Batch Completed":
	case code == "409" && description == "Message Size Exceeds MaxBytes":
		if s.got == 0 { // a message larger than any that the server takes today
			s.bytesMax *= 2
		}
	default:
		p.broken = fmt.Errorf("status %s %s", code, description)
		return
	}
	p.request(s, pullMessages)
}

// mend makes a new consumer, for as long as it takes. It gives up only when the
// context ends or the stream is another one.
func (p *puller) mend(ctx context.Context) error {
	for {
		p.conn.log.Debug("reading the stream anew", "stream", p.stream, "after", p.taken, "because", p.broken)
		if p.retry > 0 {
			if err := p.pause(ctx); err != nil {
				return err
			}
		}
		p.retry = min(max(2*p.retry, retryMin), retryMax)
		err := p.start(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, ErrUnavailable) {
			return err
		}
		p.broken = err
	}
}

// pause waits before the next attempt; a connection that is back ends it.
func (p *puller) pause(ctx context.Context) error {
	timer := time.NewTimer(p.retry)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.back:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
