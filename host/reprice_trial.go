package host

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// repricedAtOnce is how many accounts of a partition a repricing is tried with at a time:
// that bounds the memory that it takes.
const repricedAtOnce = 2_048

// tryRepricing finds out what a catalog would change that reprices: the accounts that it
// touches are repriced on a copy, and their periods closed, with it and without.
func (h *Host) tryRepricing(ctx context.Context, old, next *catalog.Catalog, accountsMax int) (*query.BackfillReport, error) {
	if err := h.readToEnd(ctx); err != nil {
		return nil, err
	}
	c := newBackfillComparison(h, accountsMax)
	for _, p := range h.partitions {
		for chunk := range slices.Chunk(p.mayBeRepriced(old, next), repricedAtOnce) {
			if err := c.repricing(ctx, p, chunk, next); err != nil {
				return nil, fmt.Errorf("host: repricing: %w", err)
			}
		}
	}
	report, err := c.report()
	return &report, err
}

// mayBeRepriced lists, sorted, the accounts with slots, or listed, of which a catalog
// prices something otherwise than an old one does, in a period that has slots or at all.
func (p *partition) mayBeRepriced(old, next *catalog.Catalog) []string {
	differ := func(id string, from, until int64) bool {
		return !catalog.SamePrices(old, next, billing.AccountID(id), from, until)
	}
	found := map[string]bool{}
	p.state.EachSlot(func(s *rate.Slot) {
		if !found[s.Account] && differ(s.Account, s.Period, s.PeriodEnd) {
			found[s.Account] = true
		}
	})
	for id := range next.Accounts {
		if billing.Partition(id, p.host.config.Partitions) == p.number && !found[string(id)] && differ(string(id), rate.Beginning, rate.Forever) {
			found[string(id)] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// repricing tries a catalog with some accounts of a partition.
func (c *backfillComparison) repricing(ctx context.Context, p *partition, accounts []string, next *catalog.Catalog) error {
	trials := c.host.backfills.trials
	if err := trials.take(ctx); err != nil {
		return err
	}
	defer trials.give()
	taken, err := trials.begin(ctx, p, accounts)
	if err != nil || taken.catalog == nil {
		return err
	}
	if _, known := c.from[p.number]; !known {
		c.from[p.number] = taken.part.Header.Position
	}
	with, err := trials.over(p, taken, accounts, nil)
	if err != nil {
		return err
	}
	if err := with.repriceBy(ctx, next, c.refuse); err != nil {
		return err
	}
	return c.compare(ctx, with, taken, accounts, nil)
}

// repriceBy reprices as the marker of a catalog would, if it came next.
func (t *trial) repriceBy(ctx context.Context, next *catalog.Catalog, refused func(accumulate.DeadLetter)) error {
	marks, err := t.marksUpTo(ctx, t.position)
	if err != nil {
		return err
	}
	h, old := t.state.Now(), t.catalog
	position := t.position + 1
	h.Position, h.CatalogRevision, h.CatalogDigest = position, h.CatalogRevision+1, next.Digest()
	t.marks = append(slices.Clip(marks), mark{position, h.CatalogRevision, h.CatalogDigest, true})
	t.catalog = next
	t.rater.SetCatalog(next)
	err = t.reprice(ctx, old, position)
	if err == nil {
		err = t.retryParked(ctx, position)
	}
	if err == nil {
		err = t.letters(refused)
	}
	return err
}
