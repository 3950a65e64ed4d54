package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"time"

	"github.com/tollway/tollway/host"
)

// process is one life of a host: from its opening to its crash.
type process struct {
	world *world
	name  string
	disk  *disk
	dead  chan struct{} // closed when it has crashed
	ctx   context.Context
	stop  context.CancelFunc
	ended chan error // has the error with which Run has ended, or Open has failed
	host  *host.Host // nil before it is open
	flaws map[string]uint64
}

// start begins a life on a disk.
func (w *world) start(d *disk, takeOver bool) *process {
	w.lives++
	p := &process{world: w, name: fmt.Sprintf("host %02d", w.lives), disk: d, dead: make(chan struct{}), ended: make(chan error, 1), flaws: map[string]uint64{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	w.note("%s starts on %s, takeOver=%v", p.name, d.id, takeOver)
	config := host.Config{
		DataDir: filepath.Join(w.dir, d.id), Partitions: w.partitions, TakeOver: takeOver, Now: w.now, Log: w.log,
		Parts: &host.Parts{
			OpenLog:   func(context.Context) (host.Log, error) { return &connection{process: p}, nil },
			OpenStore: func() (host.Store, error) { return &store{process: p, disk: d}, nil },
			BuiltIns:  w.BuiltIns,
		},
	}
	go func() {
		h, err := host.Open(p.ctx, config)
		if err != nil {
			p.ended <- err
			return
		}
		w.mu.Lock()
		p.host = h
		w.mu.Unlock()
		err = h.Run(p.ctx)
		p.ended <- errors.Join(err, h.Close())
	}()
	w.processes = append(w.processes, p)
	return p
}

// opened returns the host when it is open, else nil.
func (p *process) opened() *host.Host {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	return p.host
}

// crash ends a life: nothing that it has begun has an effect any more.
func (p *process) crash() error {
	p.world.note("%s crashes", p.name)
	close(p.dead)
	p.stop()
	err := <-p.ended
	if errors.Is(err, errCrashed) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// alive reports errCrashed when the process is dead.
func (p *process) alive() error {
	select {
	case <-p.dead:
		return errCrashed
	default:
		return nil
	}
}

// step is a gate.
func (p *process) step(ctx context.Context, label string) (verdict, error) {
	if err := p.alive(); err != nil {
		return verdict{}, err
	}
	return p.world.gates.wait(ctx, p.dead, p.name+" "+label)
}

// flaky reports whether a call fails that does not wait at a gate. It counts the
// calls by what they ask for, so that the answer does not hang on the order of
// goroutines.
func (p *process) flaky(call, of string) bool {
	w := p.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.host == nil || !w.faults {
		return false
	}
	p.flaws[call+of]++
	h := fnv.New64a()
	fmt.Fprint(h, w.seed, p.name, call, of, p.flaws[call+of])
	return h.Sum64()%8 == 0
}

// now is the clock of the hosts' machine, which the world sets.
func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

// setClock has the machine's clock show a time.
func (w *world) setClock(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead = time.Until(t)
}
