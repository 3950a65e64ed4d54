package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Launcher makes the command of a new process, which calls Work with its
// standard input and output.
type Launcher func(ctx context.Context) *exec.Cmd

// process is a process at work.
type process struct {
	kind   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Decoder
	stderr bytes.Buffer
}

// start starts a process for a job.
func (l Launcher) start(ctx context.Context, j job) (p *process, err error) {
	p = &process{kind: j.Kind, cmd: l(ctx)}
	p.cmd.Stderr = &p.stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("%s: %w", j.Kind, err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.Kind, err)
	}
	p.out = json.NewDecoder(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", j.Kind, err)
	}
	if err := json.NewEncoder(p.in).Encode(j); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", j.Kind, err), p.kill())
	}
	return p, nil
}

// await reads answers up to one of a kind. Those before it are given to see,
// which may be nil and ends the waiting by an error.
func (p *process) await(kind string, see func(answer) error) (answer, error) {
	for {
		var a answer
		if err := p.out.Decode(&a); err != nil {
			return a, fmt.Errorf("%s: the process ended: %w: %s", p.kind, err, strings.TrimSpace(p.stderr.String()))
		}
		switch {
		case a.Kind == answerError:
			return a, fmt.Errorf("%s: %s", p.kind, a.Error)
		case a.Kind == kind:
			return a, nil
		case see == nil:
			continue
		}
		if err := see(a); err != nil {
			return a, err
		}
	}
}

// stop ends the process and waits for it.
func (p *process) stop() error {
	err := p.in.Close()
	// It may still be telling its progress.
	for {
		var a answer
		if p.out.Decode(&a) != nil {
			break
		}
		if a.Kind == answerError {
			err = errors.Join(err, errors.New(a.Error))
		}
	}
	if wait := p.cmd.Wait(); wait != nil {
		err = errors.Join(err, fmt.Errorf("%w: %s", wait, strings.TrimSpace(p.stderr.String())))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.kind, err)
	}
	return nil
}

// kill ends the process as a crash does.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("%s: %w", p.kind, err)
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) { // that it was killed is no news
		return fmt.Errorf("%s: %w", p.kind, err)
	}
	return nil
}

// run starts a process and waits until it is done.
func (l Launcher) run(ctx context.Context, j job) (answer, error) {
	p, err := l.start(ctx, j)
	if err != nil {
		return answer{}, err
	}
	a, err := p.await(answerDone, nil)
	return a, errors.Join(err, p.stop())
}
