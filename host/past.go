package host

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/stream"
)

// Usage that is folded again is priced by the catalog that was in force where it
// stands in the log, as when it was read: a change of prices behind it must not reach
// back through an event that came late. Which catalog that was, the markers in the
// log say. The rater is given the catalogs one after the other, in the order of the
// log; where nothing has changed for the accounts concerned, it keeps the one that is
// in force, and loses nothing of what it has found out for the others.

// mark is a catalog marker that took effect in a partition.
type mark struct {
	position uint64
	revision uint64
	digest   string
	reprice  bool // it reaches back, see reprice.go
}

// stretch is a part of the log in which the same catalog prices some accounts.
type stretch struct {
	from uint64 // position of the marker with which it begins
	mark        // the last of those that change nothing for the accounts
}

// marksUpTo returns the markers up to a position, in order. They are read from the log
// once, and then noted as they are taken.
func (p *partition) marksUpTo(ctx context.Context, position uint64) ([]mark, error) {
	if p.marks == nil {
		if err := p.readMarks(ctx, position); err != nil {
			return nil, err
		}
	}
	n, _ := slices.BinarySearchFunc(p.marks, position+1, func(m mark, position uint64) int {
		if m.position < position {
			return -1
		}
		return 1
	})
	return p.marks[:n], nil
}

// readMarks reads the markers up to a position. It waits for a log that cannot be
// reached for the moment.
func (p *partition) readMarks(ctx context.Context, position uint64) error {
	for {
		marks := []mark{}
		err := p.conn().Each(ctx, stream.Usage(p.number), p.controlPrefix()+"catalog.*", 0, func(m stream.Message) error {
			if m.Sequence > position {
				return errRefolded
			}
			var c marker
			if err := json.Unmarshal(m.Data, &c); err != nil {
				return p.badControl(m, err)
			}
			if n := len(marks); n == 0 || c.Revision > marks[n-1].revision {
				marks = append(marks, mark{m.Sequence, c.Revision, c.Digest, c.Reprice})
			}
			return nil
		})
		switch {
		case err == nil || errors.Is(err, errRefolded):
			p.marks = marks
			return nil
		case !errors.Is(err, stream.ErrUnavailable) || ctx.Err() != nil:
			return err
		}
		p.log().Warn("the catalog's markers cannot be read to fold usage again, trying on", "partition", p.number, "error", err)
		if err := p.pause(ctx, readPause); err != nil {
			return err
		}
	}
}

// noteMark keeps a marker that has taken effect. Before any was asked for there is no
// list to keep it in; and when the state is made anew, the list has it.
func (p *partition) noteMark(c marker, position uint64) {
	if n := len(p.marks); p.marks != nil && (n == 0 || p.marks[n-1].position < position) {
		p.marks = append(p.marks, mark{position, c.Revision, c.Digest, c.Reprice})
	}
}

// stretches divides the log by what prices accounts. The markers before the one that
// has repriced them, if one has, count for nothing.
func (p *partition) stretches(marks []mark, repriced int, accounts map[string]bool) []stretch {
	var list []stretch
	if repriced >= 0 {
		marks = marks[repriced:]
	}
	for i, m := range marks {
		if i > 0 && !p.host.catalogs.concern(marks[i-1].revision, m.revision, accounts) {
			list[len(list)-1].mark = m
			continue
		}
		list = append(list, stretch{from: m.position, mark: m})
	}
	if repriced >= 0 {
		list[0].from = 0
	}
	return list
}

// catalogOf returns the catalog of a stretch.
func (p *partition) catalogOf(ctx context.Context, s *stretch) (*catalog.Catalog, error) {
	return p.catalogOfMark(ctx, s.mark)
}

func (p *partition) catalogOfMark(ctx context.Context, m mark) (*catalog.Catalog, error) {
	if m.revision == p.state.Now().CatalogRevision {
		return p.catalog, nil
	}
	return p.host.catalogs.at(ctx, m.revision, m.digest)
}

// catalogAt returns a catalog that prices an account's usage of a time, unix ns, as the
// one does that was in force at a position, or has repriced it since.
func (p *partition) catalogAt(ctx context.Context, account string, at int64, position uint64) (*catalog.Catalog, error) {
	marks, err := p.marksUpTo(ctx, p.state.Now().Position)
	if err != nil {
		return nil, err
	}
	g := p.periodOf(account, at)
	alike, err := p.alike(ctx, map[string]bool{account: true}, g.period.Start.UnixNano(), g.period.End.UnixNano(), marks)
	if err != nil {
		return nil, err
	}
	list := p.stretches(marks, alike[0].repriced, alike[0].accounts)
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].from <= position {
			return p.catalogOf(ctx, &list[i])
		}
	}
	return p.catalog, nil
}
