package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// mood is how a receiver of invoices treats who brings one.
type mood int

const (
	takes    mood = iota // and says so
	fails                // answers 500 or 503, having stored nothing
	dawdles              // takes, and answers after a while
	mumbles              // takes, and breaks the answer off half way
	departed             // does not listen
)

// Receiver is a downstream system: a webhook that stores invoices by their id.
type Receiver struct {
	address string
	choose  *rand.Rand

	mu       sync.Mutex
	server   *http.Server // nil while it does not listen
	mood     mood
	bodies   map[string][]byte // by id, as it came first
	again    int               // that came with an id that was known, with the same data
	changed  []string          // ids that came with other data
	attempts int
}

// startReceiver listens.
func startReceiver(seed uint64) (*Receiver, error) {
	r := &Receiver{choose: chance(seed, forFaults), bodies: map[string][]byte{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.address = l.Addr().String()
	r.serve(l)
	return r, nil
}

// URL is where invoices are posted to.
func (r *Receiver) URL() string { return "http://" + r.address + "/invoices" }

func (r *Receiver) serve(l net.Listener) {
	s := &http.Server{Handler: http.HandlerFunc(r.take), ReadHeaderTimeout: 10 * time.Second}
	r.server = s
	go func() { _ = s.Serve(l) }() // ends with Close
}

// Close ends it.
func (r *Receiver) Close() error {
	r.mu.Lock()
	s := r.server
	r.server = nil
	r.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.Close()
}

// Be changes the mood. One that departs gives its address up, and gets it back later.
func (r *Receiver) Be(m mood) error {
	r.mu.Lock()
	r.mood = m
	s := r.server
	r.mu.Unlock()
	switch {
	case m == departed:
		return r.Close()
	case s == nil:
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", r.address)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.serve(l)
		r.mu.Unlock()
	}
	return nil
}

// dawdling is how long an answer takes at most.
const dawdling = 3 * time.Second

func (r *Receiver) take(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // it will come again
	}
	r.mu.Lock()
	m, wait := r.mood, time.Duration(r.choose.Int64N(int64(dawdling)))
	r.attempts++
	r.mu.Unlock()
	switch m {
	case fails:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case dawdles:
		select {
		case <-time.After(wait):
		case <-q.Context().Done():
		}
	case takes, mumbles, departed:
	}
	r.store(q.Header.Get("Webhook-Id"), body)
	if m != mumbles {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Length", "1000")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte("{\"tak"))
	panic(http.ErrAbortHandler) // how a handler breaks its answer off
}

func (r *Receiver) store(id string, body []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, known := r.bodies[id]
	switch {
	case !known:
		r.bodies[id] = body
	case bytes.Equal(before, body):
		r.again++
	default:
		r.changed = append(r.changed, id)
	}
}

// count is how many invoices have come.
func (r *Receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.bodies)
}

// deliveredAll compares what has come with the documents that the program has.
func (r *Receiver) deliveredAll(documents map[string][]byte) (missing int, problems []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, document := range documents {
		body, ok := r.bodies[id]
		switch {
		case !ok:
			missing++
		case !bytes.Equal(invoiceIn(body), document):
			problems = append(problems, fmt.Sprintf("%s was delivered with other bytes than it was issued with", id))
		}
	}
	for id := range r.bodies {
		if documents[id] == nil {
			problems = append(problems, fmt.Sprintf("%s was delivered, and was not issued", id))
		}
	}
	for _, id := range r.changed {
		problems = append(problems, fmt.Sprintf("%s came again with other data", id))
	}
	return missing, problems
}

// invoiceIn is the invoice in the body of a webhook.
func invoiceIn(body []byte) []byte {
	var event struct{ Data json.RawMessage }
	if err := json.Unmarshal(body, &event); err != nil {
		return nil
	}
	return event.Data
}
