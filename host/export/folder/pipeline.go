package folder

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host/export"
)

// batch is a run of documents on its way through the goroutines of eachBatch.
type batch struct {
	documents []byte // each with a newline
	ends      []int  // behind each newline
	decoder   export.Decoder
	invoices  []export.Invoice
	text      []byte // what a shaper has made of them; nil without one
	err       error  // why they could not be read
	read      chan struct{}
}

// Bounds of a batch and of how many are on their way, and so of the memory that an
// export takes, however long it is.
const (
	batchBytes  = 256 << 10
	workersMax  = 8
	batchesMore = 2 // than workers
)

// document returns the i-th document without its newline.
func (b *batch) document(i int) []byte {
	from := 0
	if i > 0 {
		from = b.ends[i-1]
	}
	return b.documents[from : b.ends[i]-1]
}

// decode reads the documents, and makes their text.
func (b *batch) decode(shape shaper) {
	b.decoder.Reset()
	b.invoices, b.text, b.err = b.invoices[:0], b.text[:0], nil
	for i := range b.ends {
		inv, err := b.decoder.Decode(b.document(i))
		if err == nil && shape != nil {
			b.text, err = shape(b.text, &inv, b.document(i))
		}
		if err != nil {
			b.err = err
			return
		}
		b.invoices = append(b.invoices, inv)
	}
}

// eachBatch reads all documents of a source and calls take with them, batch after
// batch in their order. Reading them is most of the work of an export, so it is done
// by several goroutines. A batch is valid during the call.
//
//	from ──documents──▶ fill ──▶ decode, as many as there are processors ──▶ take
//	                      └──────────────── in order ───────────────────────┘
func eachBatch(from source, newShaper func() shaper, take func(*batch) error) error {
	workers := min(runtime.GOMAXPROCS(0), workersMax)
	group, ctx := errgroup.WithContext(context.Background())
	p := &pipeline{
		ctx: ctx, work: make(chan *batch), order: make(chan *batch, workers+batchesMore), free: make(chan *batch, workers+batchesMore),
	}
	for range cap(p.free) {
		p.free <- &batch{}
	}
	group.Go(func() error { return p.fill(from) })
	for range workers {
		group.Go(func() error {
			var shape shaper
			if newShaper != nil {
				shape = newShaper()
			}
			for b := range p.work {
				b.decode(shape)
				close(b.read)
			}
			return nil
		})
	}
	group.Go(func() error { return p.drain(take) })
	return group.Wait()
}

type pipeline struct {
	ctx   context.Context //nolint:containedctx // of one call of eachBatch, with its goroutines
	work  chan *batch     // to any worker
	order chan *batch     // the same to drain, in their order
	free  chan *batch
}

// fill collects documents into batches.
func (p *pipeline) fill(from source) error {
	defer close(p.work)
	defer close(p.order)
	var b *batch
	err := from(func(document []byte) error {
		if b == nil {
			select {
			case b = <-p.free:
				b.documents, b.ends, b.read = b.documents[:0], b.ends[:0], make(chan struct{})
			case <-p.ctx.Done():
				return errStopped
			}
		}
		b.documents = append(append(b.documents, document...), '\n')
		b.ends = append(b.ends, len(b.documents))
		if len(b.documents) < batchBytes {
			return nil
		}
		full := b
		b = nil
		return p.send(full)
	})
	if err == nil && b != nil {
		err = p.send(b)
	}
	return err
}

// send hands a batch to a worker and to drain.
func (p *pipeline) send(b *batch) error {
	for _, to := range []chan *batch{p.order, p.work} {
		select {
		case to <- b:
		case <-p.ctx.Done():
			return errStopped
		}
	}
	return nil
}

// drain takes the batches as they were filled.
func (p *pipeline) drain(take func(*batch) error) error {
	for {
		select {
		case b, more := <-p.order:
			if !more {
				return nil
			}
			select {
			case <-b.read:
			case <-p.ctx.Done():
				return errStopped
			}
			if b.err != nil {
				return b.err
			}
			if err := take(b); err != nil {
				return err
			}
			p.free <- b // there is room for all
		case <-p.ctx.Done():
			return errStopped
		}
	}
}
