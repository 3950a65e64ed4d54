package stream

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands between a client and a server and can break a connection at the
// moment when an acknowledgement passes: the server has stored what the client
// will never know of.
type proxy struct {
	t        *testing.T
	target   string
	listener net.Listener
	done     sync.WaitGroup

	mu    sync.Mutex
	cut   []byte // break when the server sends this
	conns map[net.Conn]struct{}
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, target: target, listener: l, conns: map[net.Conn]struct{}{}}
	p.done.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.breakAll()
		p.done.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

// cutAt breaks all connections once, when the server sends the text.
func (p *proxy) cutAt(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = []byte(text)
}

// ackOf is what the server's acknowledgement of a message begins with.
func ackOf(stream string) string { return `{"stream":"` + stream + `"` }

// armed reports whether the cut is still to come.
func (p *proxy) armed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut != nil
}

func (p *proxy) breakAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.done.Go(func() {
			_, _ = io.Copy(server, client)
			_ = server.Close()
		})
		p.done.Go(func() {
			p.answer(client, server)
			_ = client.Close()
		})
	}
}

// answer passes on what the server sends, up to where it is to be cut.
func (p *proxy) answer(client, server net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		p.mu.Lock()
		cut := p.cut != nil && bytes.Contains(buf[:n], p.cut)
		if cut {
			p.cut = nil
		}
		p.mu.Unlock()
		if cut {
			p.breakAll()
			return
		}
		if _, werr := client.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}
