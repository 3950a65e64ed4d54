package folder

import (
	"bufio"
	"errors"
	"io"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/export/paper"
)

// pagesWriter writes a page for each invoice, and a list of them.
type pagesWriter struct {
	to    files
	pages *paper.Pages
	tally *export.Tally
	index *paper.Index
	list  *bufio.Writer
	file  io.Closer // of the list
}

func newPages(to files, period string) (Writer, error) {
	pages, err := paper.New()
	if err != nil {
		return nil, err
	}
	file, err := to.create("index.html")
	if err != nil {
		return nil, err
	}
	w := &pagesWriter{to: to, pages: pages, tally: export.NewTally(), list: bufio.NewWriterSize(file, 1<<16), file: file}
	if w.index, err = pages.NewIndex(w.list, period); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return w, nil
}

// Write implements [Writer].
func (w *pagesWriter) Write(inv *export.Invoice, _ []byte) error {
	if err := w.tally.Add(inv); err != nil {
		return err
	}
	file, err := w.to.create("invoices/" + paper.FileOf(inv))
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(file, 1<<16)
	if err := errors.Join(w.pages.Invoice(out, inv), out.Flush(), file.Close()); err != nil {
		return err
	}
	return w.index.Add(inv)
}

// Close implements [Writer].
func (w *pagesWriter) Close() error {
	return errors.Join(w.index.Close(w.tally.Summary().Totals), w.list.Flush(), w.file.Close())
}
