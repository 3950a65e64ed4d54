package host

import "context"

// Step lets a partition of a host that does not run make one step: read what is
// there, fold it in, and commit it.
func (h *Host) Step(ctx context.Context, partition int) error {
	p := h.partitions[partition]
	if err := p.complete(ctx); err != nil {
		return err
	}
	if p.reader == nil {
		reader, err := h.conn.Reader(ctx, partition, p.state.Header().Position)
		if err != nil {
			return err
		}
		p.reader = reader
	}
	messages, err := p.reader.Next(ctx, readLimit())
	if err != nil {
		return err
	}
	p.committer.flying = true // by hand, below
	if err := p.fold(ctx, messages); err != nil {
		return err
	}
	cut, err := p.committer.cut()
	if err != nil {
		return err
	}
	if err := p.committer.write(ctx, cut); err != nil {
		return err
	}
	p.committer.landed(cut)
	return nil
}

// EndSteps lets go of what Step has opened.
func (h *Host) EndSteps() {
	for _, p := range h.partitions {
		if p.reader != nil {
			p.reader.Close()
			p.reader = nil
		}
	}
}

// Commits is how many checkpoints the host has written.
func (h *Host) Commits() uint64 { return h.store.Stats().Commits }
