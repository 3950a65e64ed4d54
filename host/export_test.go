package host

import (
	"context"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/stream"
)

// What tests outside the package reach inside for.

// Conn is the host's connection to the log.
func (h *Host) Conn() *stream.Conn { return h.conn }

// StoreUnseen stores a catalog as an apply does that breaks off before the
// first marker, and does not let the host know.
func (h *Host) StoreUnseen(ctx context.Context, file catalog.File) error {
	other := &catalogs{conn: h.conn, current: catalog.Empty()}
	if err := other.load(ctx); err != nil {
		return err
	}
	next, problems := catalog.Parse([]catalog.File{file})
	resolver := h.newResolver(ctx, catalog.Empty(), ApplyRequest{})
	problems = append(problems, next.Resolve(resolver)...)
	if len(problems) > 0 {
		return &CatalogError{Problems: problems}
	}
	if err := resolver.close(); err != nil {
		return err
	}
	_, err := other.store(ctx, other.current.Merge(next, false), h.config.Now())
	return err
}
