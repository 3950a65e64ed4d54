package deliver

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"container/heap"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// progress is how far a sink has come, as it is kept: every invoice up to Read is
// delivered or passed over, but for those in Lanes.
type progress struct {
	Epoch     uint64  `json:"epoch"` // of the host that wrote it
	Read      uint64  `json:"read"`  // last sequence of the INVOICES stream that was read
	Delivered uint64  `json:"delivered"`
	Skipped   uint64  `json:"skipped,omitempty"` // passed over by an operator
	Stopped   string  `json:"stopped,omitempty"` // why nothing is handed over until an operator asks for it
	Lanes     []*lane `json:"lanes,omitempty"`
}

// lane is the queue of an account's invoices that are not delivered.
type lane struct {
	Account  string    `json:"account"`
	Queue    []uint64  `json:"queue"`              // sequences in the INVOICES stream, in order
	Invoice  string    `json:"invoice,omitempty"`  // id of the first of them, once it was tried
	Attempts int       `json:"attempts,omitempty"` // for the first of them
	Since    time.Time `json:"since,omitzero"`     // of the first attempt
	Next     time.Time `json:"next,omitzero"`      // of the next attempt
	Error    string    `json:"error,omitempty"`    // why the last attempt failed
	Refused  bool      `json:"refused,omitempty"`  // the receiver does not want this invoice as it is

	flying bool // being handed over
	skip   bool // passed over, whatever comes of the attempt that is under way
	at     int  // its place among those that wait; -1 for none
}

// held reports whether the lane's first invoice was tried and not taken.
func (l *lane) held() bool { return l.Attempts > 0 }

// lanes are a sink's lanes.
type lanes struct {
	all     map[string]*lane // by account
	fresh   []*lane          // those that were never tried for their first invoice, and do not fly: few
	retries retries          // those that are held and do not fly, by when their next attempt is due
	limits  limits
	waiting int // invoices in lanes that are not held
	held    int // invoices in lanes that are
	blocked int // lanes that are held

	bytes int // of progress when it was last kept
	since int // lanes that were held since
}

func newLanes() *lanes { return &lanes{all: map[string]*lane{}} }

// retries is a heap of lanes.
type retries []*lane

func (r retries) Len() int           { return len(r) }
func (r retries) Less(i, j int) bool { return r[i].Next.Before(r[j].Next) }

// Swap implements heap.Interface.
func (r retries) Swap(i, j int) {
	r[i], r[j] = r[j], r[i]
	r[i].at, r[j].at = i, j
}

// Push implements heap.Interface.
func (r *retries) Push(x any) {
	one := x.(*lane) //nolint:forcetypeassert // the heap holds nothing else
	one.at = len(*r)
	*r = append(*r, one)
}

// Pop implements heap.Interface.
func (r *retries) Pop() any {
	last := len(*r) - 1
	one := (*r)[last]
	(*r)[last] = nil
	*r = (*r)[:last]
	one.at = -1
	return one
}

func (p *progress) decode(b []byte) (*lanes, error) {
	b, err := unpack(b)
	if err == nil {
		err = json.Unmarshal(b, p)
	}
	if err != nil {
		return nil, fmt.Errorf("deliver: progress: %w", err)
	}
	l := newLanes()
	for _, one := range p.Lanes {
		if len(one.Queue) == 0 {
			return nil, fmt.Errorf("deliver: progress: account %q holds nothing", one.Account)
		}
		l.all[one.Account] = one
		one.at = -1
		if one.held() {
			l.held += len(one.Queue)
			l.blocked++
		} else {
			l.waiting += len(one.Queue)
		}
	}
	p.Lanes = nil
	l.since = l.blocked // until it is kept again
	return l, nil
}

// begin has the lanes that were read wait for their turn. A time of a next attempt that
// is further away than any pause was set by another clock.
func (l *lanes) begin(now time.Time) {
	for _, one := range l.all {
		if until := one.Next.Sub(now); one.held() {
			one.Next = now.Add(min(until, pauseMax)) // by the clock of this process, which does not jump
			if until > pauseMax {
				one.Next = now
			}
		}
		l.wait(one)
	}
}

// encode writes progress with the lanes as they are, in the order of their first
// invoices; a long one is packed.
func (p progress) encode(l *lanes) ([]byte, error) {
	p.Lanes = make([]*lane, 0, len(l.all))
	for _, one := range l.all {
		p.Lanes = append(p.Lanes, one)
	}
	slices.SortFunc(p.Lanes, func(a, b *lane) int { return cmp.Compare(a.Queue[0], b.Queue[0]) })
	b, err := json.Marshal(p)
	if err == nil && len(b) > packBytesMin {
		b, err = pack(b)
	}
	if err != nil {
		return nil, fmt.Errorf("deliver: progress: %w", err)
	}
	return b, nil
}

// packBytesMin is the size from which on progress is packed. Lanes repeat each other, so
// that of a megabyte a tenth is left.
const packBytesMin = 64 << 10

// packedMark begins packed progress, as gzip does; JSON does not.
const packedMark = "\x1f\x8b"

func pack(b []byte) ([]byte, error) {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	err = w.Close()
	return packed.Bytes(), err
}

// unpackedMax bounds what is unpacked.
const unpackedMax = 256 << 20

func unpack(b []byte) ([]byte, error) {
	if !bytes.HasPrefix(b, []byte(packedMark)) {
		return b, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, unpackedMax))
}

// kept notes how large progress is.
func (l *lanes) kept(bytes int) { l.bytes, l.since = bytes, 0 }

// add puts an invoice at the end of its account's lane.
func (l *lanes) add(account string, sequence uint64) {
	one := l.all[account]
	if one == nil {
		one = &lane{Account: account, at: -1}
		l.all[account] = one
		l.fresh = append(l.fresh, one)
	}
	one.Queue = append(one.Queue, sequence)
	if one.held() {
		l.held++
	} else {
		l.waiting++
	}
}

// fly takes a lane that is due out of those that wait.
func (l *lanes) fly(one *lane) {
	one.flying = true
	l.leave(one)
}

func (l *lanes) leave(one *lane) {
	if one.at >= 0 {
		heap.Remove(&l.retries, one.at)
	}
	if at := slices.Index(l.fresh, one); at >= 0 {
		l.fresh = slices.Delete(l.fresh, at, at+1)
	}
}

// wait puts a lane that does not fly among those that wait.
func (l *lanes) wait(one *lane) {
	one.flying = false
	if one.held() {
		heap.Push(&l.retries, one)
	} else {
		l.fresh = append(l.fresh, one)
	}
}

// reorder is called when the next attempts of lanes that wait have been changed.
func (l *lanes) reorder() { heap.Init(&l.retries) }

// hold counts a lane whose first invoice is about to be held, unless it is already.
func (l *lanes) hold(one *lane) {
	if one.held() {
		return
	}
	l.waiting -= len(one.Queue)
	l.held += len(one.Queue)
	l.blocked++
	l.since++
}

// pop takes a lane's first invoice out.
func (l *lanes) pop(one *lane) {
	l.leave(one)
	if one.held() {
		l.held -= len(one.Queue)
		l.blocked--
		l.waiting += len(one.Queue)
	}
	l.waiting--
	*one = lane{Account: one.Account, Queue: slices.Delete(one.Queue, 0, 1), at: -1}
	if len(one.Queue) == 0 {
		delete(l.all, one.Account)
		return
	}
	l.fresh = append(l.fresh, one)
}

// room reports whether more may be read.
func (l *lanes) room() bool { return l.waiting < waitingMax && !l.full() }

// full reports whether as much is held as may be: in memory, or in one message.
func (l *lanes) full() bool {
	const each = errorBytesMax // about what a lane adds to progress before it is packed, and more than behind it
	return l.held >= l.limits.held || l.blocked >= l.limits.blocked || l.bytes+l.since*each >= l.limits.bytes
}

// due returns the lane whose turn it is, or nil, and when the next one has its. Those
// that were never tried come first, so that what fails holds up nothing that may not.
func (l *lanes) due(now time.Time) (first *lane, next time.Time) {
	for _, one := range l.fresh {
		if first == nil || one.Queue[0] < first.Queue[0] {
			first = one
		}
	}
	if first != nil || len(l.retries) == 0 {
		return first, next
	}
	if one := l.retries[0]; one.Next.After(now) {
		return nil, one.Next
	}
	return l.retries[0], next
}
