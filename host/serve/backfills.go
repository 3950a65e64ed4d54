package serve

import (
	"context"

	"github.com/tollway/tollway/host/query"
)

// AddToBackfill implements rpc.Engine.
func (e engine) AddToBackfill(ctx context.Context, name string, part int, lines []byte) error {
	return e.host.AddToBackfill(ctx, name, part, lines)
}

// FinishBackfill implements rpc.Engine.
func (e engine) FinishBackfill(ctx context.Context, name, by string) (query.Backfill, error) {
	return e.host.FinishBackfill(ctx, name, by)
}

// Backfills implements rpc.Engine.
func (e engine) Backfills(ctx context.Context) ([]query.Backfill, error) {
	return e.host.Backfills(ctx)
}

// ShowBackfill implements rpc.Engine.
func (e engine) ShowBackfill(ctx context.Context, name string, accountsMax int) (query.BackfillReport, error) {
	return e.host.ShowBackfill(ctx, name, accountsMax)
}

// CommitBackfill implements rpc.Engine.
func (e engine) CommitBackfill(ctx context.Context, name, by string) (query.Backfill, uint64, error) {
	return e.host.CommitBackfill(ctx, name, by)
}

// DropBackfill implements rpc.Engine.
func (e engine) DropBackfill(ctx context.Context, name string) error {
	return e.host.DropBackfill(ctx, name)
}

// ShowBackfill implements rpc.Engine: it is tried on the state.
func (g gate) ShowBackfill(ctx context.Context, name string, accountsMax int) (query.BackfillReport, error) {
	return look(g, "", func() (query.BackfillReport, error) { return g.engine.ShowBackfill(ctx, name, accountsMax) })
}

// CommitBackfill implements rpc.Engine: it returns when the state has priced it.
func (g gate) CommitBackfill(ctx context.Context, name, by string) (query.Backfill, uint64, error) {
	if err := g.host.Servable(""); err != nil {
		return query.Backfill{}, 0, err
	}
	return g.engine.CommitBackfill(ctx, name, by)
}
