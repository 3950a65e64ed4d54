package intake

import (
	"context"
	"time"
)

// Engine is what reads the log that usage is written to.
type Engine interface {
	// Reached returns the position that the engine has come to in a partition. ok is
	// false when nobody is to wait for it, since it is at rest or has other work first.
	Reached(partition int) (position uint64, ok bool)
	// Await returns once the engine has come to a position of a partition, and ctx's
	// error when that ends before.
	Await(ctx context.Context, partition int, position uint64) error
	// AwaitRead returns once the engine has read the log of a partition up to a
	// position, whether it has worked it in or not, and when ctx ends before.
	AwaitRead(ctx context.Context, partition int, position uint64)
}

// How usage keeps pace with the engine.
const (
	// paceAge is how old usage may be that is written and not worked in yet. While
	// there is older usage in a partition no more is written to it: what a producer is
	// told is accepted is then no further from being seen, however much is sent.
	paceAge = 100 * time.Millisecond
	// paceWaitMax is for how long usage is held back at most. An engine that needs
	// longer has other work than ours, such as a backlog: nobody is held up for that,
	// until it has come to what was written meanwhile.
	paceWaitMax = 2 * time.Second
	// paceBytesMin is what a group has at least, however slow the engine is.
	paceBytesMin = 64 << 10
	// paceRead is for how long a group waits until the one before it is read. A server
	// that syncs lets nobody read a stream meanwhile: a group that was written at once
	// would hold up who reads the one before for as long as the disk needs for it.
	// Who has not read by then has as much to do as there is room for.
	paceRead = 20 * time.Millisecond
)

// KeepPace has usage wait while the engine is behind with what was written before.
// Without it nothing waits. It is called before the first Add, if at all.
func (i *Intake) KeepPace(e Engine, now func() time.Time) {
	for _, l := range i.lanes {
		l.pace = pace{engine: e, now: now, partition: l.partition, bytes: groupBytes}
	}
}

// pace is what a lane knows of the engine. It belongs to the lane's goroutine, of
// which there is one at a time.
type pace struct {
	engine    Engine // nil: nothing waits
	now       func() time.Time
	partition int
	ahead     []written // that the engine may not have come to, in order
	past      bool      // the engine is at rest or took too long: nothing waits until it has come to the last of these
	bytes     int       // of the next group, at most
}

// written is a group of messages that is in the log.
type written struct {
	last uint64 // position
	at   time.Time
}

// wait returns when the next group may be written.
func (p *pace) wait(ctx context.Context) {
	if p.engine == nil {
		return
	}
	limited, cancel := context.WithTimeout(ctx, paceWaitMax)
	defer cancel()
	waited := false
	for p.behind() {
		if waited = true; p.engine.Await(limited, p.partition, p.ahead[0].last) == nil {
			continue
		}
		p.giveUp()
	}
	p.awaitRead(ctx)
	if waited {
		p.bytes = max(p.bytes/2, paceBytesMin)
	} else {
		p.bytes = min(p.bytes*2, groupBytes)
	}
}

// awaitRead waits until the engine has read what was written last.
func (p *pace) awaitRead(ctx context.Context) {
	if p.past || len(p.ahead) == 0 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, paceRead)
	defer cancel()
	p.engine.AwaitRead(limited, p.partition, p.ahead[len(p.ahead)-1].last)
}

// behind reports whether there is usage that is too old for not being worked in.
func (p *pace) behind() bool {
	reached, ok := p.engine.Reached(p.partition)
	n := 0
	for n < len(p.ahead) && p.ahead[n].last <= reached {
		n++
	}
	if n > 0 {
		p.ahead = append(p.ahead[:0], p.ahead[n:]...)
	}
	if len(p.ahead) == 0 {
		p.past = false
		return false
	}
	if !ok {
		p.giveUp()
	}
	return !p.past && p.now().Sub(p.ahead[0].at) >= paceAge
}

// giveUp has nothing wait until the engine has come to all that is written by then.
func (p *pace) giveUp() {
	p.past = true
	p.ahead = append(p.ahead[:0], p.ahead[len(p.ahead)-1])
}

// groupBytes is how much the next group has at most.
func (p *pace) groupBytes() int {
	if p.engine == nil {
		return groupBytes
	}
	return p.bytes
}

// wrote notes a group.
func (p *pace) wrote(last uint64) {
	switch {
	case p.engine == nil || last == 0:
	case p.past:
		p.ahead = append(p.ahead[:0], written{last: last})
	default:
		p.ahead = append(p.ahead, written{last: last, at: p.now()})
	}
}
