package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Proxy stands between the program and its NATS server, and does to their connections
// what networks do.
type Proxy struct {
	target   string
	listener net.Listener
	ctx      context.Context //nolint:containedctx // ends what the proxy started
	end      context.CancelFunc
	done     sync.WaitGroup

	mu      sync.Mutex
	choose  *rand.Rand
	weather weather
	changed chan struct{} // closed when the weather changes
	conns   map[net.Conn]struct{}
	breaks  int
}

// weather is how the network is.
type weather struct {
	delay time.Duration // at most, of each piece
	piece int           // bytes passed on at a time; 0 is as they come
	stall bool          // nothing passes, and nobody is told: a half-open connection
	away  bool          // connections are refused
	oneIn int           // one piece in so many breaks its connection after half of it; 0 is none
}

// startProxy listens for connections to a target.
func startProxy(target string, seed uint64) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, listener: l, choose: chance(seed, forProxy), changed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	p.ctx, p.end = context.WithCancel(context.Background())
	p.done.Go(p.accept)
	return p, nil
}

// URL is where the program connects to.
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// Close ends the proxy and its connections.
func (p *Proxy) Close() error {
	p.end()
	err := p.listener.Close()
	p.Cut()
	p.done.Wait()
	return err
}

// Set changes the weather. Connections that were stalled are broken when it clears: who
// has dropped packets for so long does not know them any more.
func (p *Proxy) Set(w weather) {
	p.mu.Lock()
	stalled := p.weather.stall && !w.stall
	p.weather = w
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	if stalled || w.away {
		p.Cut()
	}
}

// Cut resets all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not an orderly end
		}
		_ = c.Close()
	}
	if len(p.conns) > 0 {
		p.breaks++
	}
	clear(p.conns)
}

func (p *Proxy) now() (weather, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.weather, p.changed
}

func (p *Proxy) below(n int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.choose.Int64N(n)
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if w, _ := p.now(); w.away {
			_ = client.Close()
			continue
		}
		server, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(p.ctx, "tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.done.Go(func() { p.pass(server, client) })
		p.done.Go(func() { p.pass(client, server) })
	}
}

// pass hands bytes on until one of the two ends.
func (p *Proxy) pass(to, from net.Conn) {
	defer func() {
		_, _ = to.Close(), from.Close() // the other direction may have done it
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, to)
		delete(p.conns, from)
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if werr := p.hand(to, buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

var errBroken = errors.New("the connection breaks")

// hand passes bytes on as the weather lets them.
func (p *Proxy) hand(to net.Conn, b []byte) error {
	for len(b) > 0 {
		w, changed := p.now()
		if w.stall {
			select {
			case <-changed:
				continue
			case <-p.ctx.Done():
				return p.ctx.Err()
			}
		}
		n := len(b)
		if w.piece > 0 {
			n = min(n, 1+int(p.below(int64(w.piece))))
		}
		if w.delay > 0 {
			pause(p.ctx, time.Duration(p.below(int64(w.delay))))
		}
		if w.oneIn > 0 && p.below(int64(w.oneIn)) == 0 {
			_, _ = to.Write(b[:n/2]) // it breaks anyway
			return errBroken
		}
		if _, err := to.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
