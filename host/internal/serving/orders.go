package serving

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// order is what the clients are to do.
type order struct {
	URL        string        `json:"url"`
	Accounts   int           `json:"accounts"`
	Partitions int           `json:"partitions"`
	From       int           `json:"from"` // the first event to send
	Events     int           `json:"events"`
	Gets       int           `json:"gets"`
	Watches    int           `json:"watches"`
	Hot        bool          `json:"hot"`
	Probes     int           `json:"probes"`
	Duration   time.Duration `json:"duration"`
}

// answer is what the clients say: first that their watches are open, and when they are
// told to begin and have done, what they measured.
type answer struct {
	Error  string  `json:"error,omitempty"`
	Opened bool    `json:"opened,omitempty"`
	Result *result `json:"result,omitempty"`
}

// result is what the clients have measured.
type result struct {
	Took     time.Duration `json:"took"`
	CPU      time.Duration `json:"cpu"`      // that they used meanwhile
	Accepted int64         `json:"accepted"` // events
	Gets     int64         `json:"gets"`
	Failures int64         `json:"failures"`
	Updates  int64         `json:"updates"`
	Seen     Spread        `json:"seen"`
	Get      Spread        `json:"get"`
}

// Work is the process of the clients: it reads an order, and then the word to begin,
// from in.
func Work(ctx context.Context, in io.Reader, out io.Writer, now func() time.Time) error {
	say := json.NewEncoder(out)
	orders := json.NewDecoder(in)
	var o order
	if err := orders.Decode(&o); err != nil {
		return fmt.Errorf("serving: order: %w", err)
	}
	ready := func() error {
		if err := say.Encode(answer{Opened: true}); err != nil {
			return err
		}
		var begin bool
		return orders.Decode(&begin)
	}
	r, err := o.carryOut(ctx, now, ready)
	if err != nil {
		return say.Encode(answer{Error: err.Error()})
	}
	return say.Encode(answer{Result: &r})
}

// party is the clients at work, as the measurement sees them.
type party struct {
	in   io.WriteCloser
	say  *json.Encoder
	hear *json.Decoder
	wait func() error
}

// invite starts the clients: as a process of their own, or in this one where there is
// no program to launch.
func (r *run) invite(ctx context.Context, o order) (p *party, err error) {
	if r.Launch == nil {
		p = r.inviteHere(ctx)
	} else if p, err = start(r.Launch(ctx, "bench", "clients")); err != nil {
		return nil, err
	}
	return p, p.say.Encode(o)
}

func (r *run) inviteHere(ctx context.Context) *party {
	orders, in := io.Pipe()
	out, answers := io.Pipe()
	var group errgroup.Group
	group.Go(func() error {
		err := Work(ctx, orders, answers, r.Now)
		return errors.Join(err, answers.CloseWithError(err))
	})
	return &party{in: in, say: json.NewEncoder(in), hear: json.NewDecoder(out), wait: group.Wait}
}

func start(command *exec.Cmd) (*party, error) {
	var said strings.Builder
	command.Stderr = &said
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("serving: the clients: %w", err)
	}
	wait := func() error {
		if err := command.Wait(); err != nil {
			return fmt.Errorf("serving: the clients: %w: %s", err, said.String())
		}
		return nil
	}
	return &party{in: in, say: json.NewEncoder(in), hear: json.NewDecoder(out), wait: wait}, nil
}

// answer waits for the clients' next one.
func (p *party) answer() (answer, error) {
	var a answer
	if err := p.hear.Decode(&a); err != nil {
		return a, errors.Join(fmt.Errorf("serving: the clients ended: %w", err), p.leave())
	}
	if a.Error != "" {
		return a, errors.Join(errors.New("serving: "+a.Error), p.leave())
	}
	return a, nil
}

// leave ends the clients.
func (p *party) leave() error { return errors.Join(p.in.Close(), p.wait()) }
