package chaos

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// errNotServing says that the program is not there at the moment.
var errNotServing = errors.New("the program does not serve")

// Program is `tollway serve` in a process of its own. Start, Kill and Stop may be
// called by one goroutine at a time, Clients by any.
type Program struct {
	binary, config string
	log            string   // file that gets what the program writes, of all its lives
	env            []string // beside this process's own

	clients atomic.Pointer[rpc.Clients]
	url     atomic.Pointer[string]

	mu   sync.Mutex
	life *life
}

// life is one process.
type life struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it is gone
}

// Clients are those of the process that serves, nil when none does.
func (p *Program) Clients() *rpc.Clients { return p.clients.Load() }

// URL is where the process that served last was to be reached.
func (p *Program) URL() string {
	if url := p.url.Load(); url != nil {
		return *url
	}
	return ""
}

// startMax bounds how long a start may take.
const startMax = 2 * time.Minute

// Start starts the process and waits until it answers. It returns how long that took.
// more is added to the environment of this life.
func (p *Program) Start(ctx context.Context, more ...string) (time.Duration, error) {
	begun := time.Now()
	if err := p.Begin(more...); err != nil {
		return 0, err
	}
	return p.await(ctx, begun)
}

// Begin starts the process and does not wait until it answers: Clients are there when
// it does.
func (p *Program) Begin(more ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()                           // the process has its own
	cmd := exec.Command(p.binary, "serve", "--config", p.config) //nolint:noctx // it outlives the call
	cmd.Env = append(append(os.Environ(), p.env...), more...)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	l := &life{cmd: cmd, ended: make(chan struct{})}
	p.life = l
	go func() {
		defer close(l.ended)
		p.listen(out)
		_ = cmd.Wait() // how it ended is in the log, and often our doing
		p.clients.Store(nil)
	}()
	return nil
}

// listen reads what the process prints until it ends.
func (p *Program) listen(out io.Reader) {
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if url, ok := strings.CutPrefix(strings.TrimSpace(line), "serving at "); ok && err == nil {
		if clients, err := rpc.NewClients(url, "", nil); err == nil {
			p.url.Store(&url)
			p.clients.Store(clients)
		}
	}
	_, _ = io.Copy(io.Discard, lines) // it ends with the process
}

// await waits for the first answer.
func (p *Program) await(ctx context.Context, begun time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	for {
		if clients := p.Clients(); clients != nil {
			_, err := clients.Subtotals.List(ctx, &tollwayv1.SubtotalServiceListRequest{PageSize: 1})
			if err == nil {
				return time.Since(begun), nil
			}
		}
		select {
		case <-p.Ended():
			return 0, fmt.Errorf("the program ended: %s", p.lastWords())
		case <-ctx.Done():
			return 0, fmt.Errorf("the program does not answer: %w; see %s", ctx.Err(), p.log)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Ended is closed when no process runs.
func (p *Program) Ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life == nil {
		never := make(chan struct{})
		close(never)
		return never
	}
	return p.life.ended
}

// Running reports whether a process runs.
func (p *Program) Running() bool {
	select {
	case <-p.Ended():
		return false
	default:
		return true
	}
}

// Kill ends the process as kill -9 does, and waits for its end.
func (p *Program) Kill() { p.signal(syscall.SIGKILL) }

// Stop ends the process in order, and waits for its end.
func (p *Program) Stop() { p.signal(syscall.SIGTERM) }

func (p *Program) signal(s syscall.Signal) {
	p.mu.Lock()
	l := p.life
	p.mu.Unlock()
	if l == nil {
		return
	}
	p.clients.Store(nil)
	_ = l.cmd.Process.Signal(s) // it may have ended
	<-l.ended
}

// lastWords are the last lines of the log.
func (p *Program) lastWords() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-3):], []byte("\n")))
}

// Build builds the program with its failpoints into a folder and returns its name. The
// current folder must be one of the module.
func Build(ctx context.Context, dir string) (string, error) {
	name, err := filepath.Abs(filepath.Join(dir, "tollway"))
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "go", "build", "-tags", "failpoints", "-o", name, "github.com/tollway/tollway/host/cmd/tollway").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return name, nil
}
