package rpc

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// services is what the handlers of all services share. It is safe for
// concurrent use.
type services struct {
	engine    Engine
	draining  context.Context // done when the server stops: it ends streams, whatever call they belong to
	heartbeat time.Duration
}

// How long a read waits for min_position.
const (
	waitDefault = 10 * time.Second
	waitMax     = time.Minute
)

// wait makes a read of the committed state see everything up to least, if that
// comes in time.
func (s *services) wait(ctx context.Context, least *tollwayv1.MinPosition) error {
	return s.waitFor(ctx, least, s.engine.WaitPosition)
}

// waitIn does the same for the latest state, if that is asked for.
func (s *services) waitIn(ctx context.Context, least *tollwayv1.MinPosition, latest bool) error {
	if latest {
		return s.waitFor(ctx, least, s.engine.WaitLatest)
	}
	return s.wait(ctx, least)
}

func (s *services) waitFor(ctx context.Context, least *tollwayv1.MinPosition, wait func(context.Context, []query.Position) error) error {
	if least == nil {
		return nil
	}
	positions, err := positionsOf(least)
	if err != nil {
		return err
	}
	limit, err := waitOf(least.GetMaxWait())
	if err != nil {
		return err
	}
	if len(positions) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = wait(limited, positions)
	switch {
	case errors.Is(err, query.ErrInvalid):
		return refuse(ReasonInvalidPosition, positionHint, "min_position: %v", err)
	case errors.Is(err, query.ErrNotReached) && !errors.Is(ctx.Err(), context.Canceled):
		return refuse(ReasonPositionNotReached,
			"wait longer (min_position.max_wait, up to 60s), or read without min_position to see how far the host is", "%v", err)
	case errors.Is(err, query.ErrNotReached):
		return ctx.Err()
	}
	return err
}

const positionHint = "pass on what Ingest or an as_of gave"

// positionsOf collects what min asks for, one position per partition.
func positionsOf(least *tollwayv1.MinPosition) ([]query.Position, error) {
	var positions []query.Position
	for _, p := range least.GetPositions() {
		if p.GetPartition() >= tokenPartitionMax {
			return nil, refuse(ReasonInvalidPosition, positionHint, "min_position names partition %d, which cannot be", p.GetPartition())
		}
		positions = append(positions, query.Position{Stream: p.GetStream(), Partition: int(p.GetPartition()), Sequence: p.GetSequence()})
	}
	if least.GetToken() != "" {
		fromToken, err := parsePositionToken(least.GetToken())
		if err != nil {
			return nil, refuse(ReasonInvalidPosition, positionHint, "min_position.token is %v", err)
		}
		positions = append(positions, fromToken...)
	}
	return highestByPartition(positions), nil
}

func waitOf(d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return waitDefault, nil
	}
	if err := d.CheckValid(); err != nil || d.AsDuration() < 0 {
		return 0, refuse(ReasonInvalidRequest, `write it like "5s"`, "min_position.max_wait is not a duration from 0s up")
	}
	return min(d.AsDuration(), waitMax), nil
}

// selection is what most requests select by.
type selection interface {
	GetAccount() string
	GetPeriod() string
	GetCurrency() string
}

// subtotalSelection is what requests for subtotals select by.
type subtotalSelection interface {
	selection
	GetTariff() string
	GetMeter() string
}

// subtotalFilter reads the fields of a request that select subtotals.
func subtotalFilter(r subtotalSelection) (query.Filter, error) {
	if err := checkSelection(r); err != nil {
		return query.Filter{}, err
	}
	return query.Filter{
		Account: billing.AccountID(r.GetAccount()), Period: r.GetPeriod(),
		Tariff: r.GetTariff(), Meter: r.GetMeter(), Currency: billing.Currency(r.GetCurrency()),
	}, nil
}

// checkSelection refuses what can select nothing, so that a slip of the finger
// does not read as "no usage".
func checkSelection(r selection) error {
	if r.GetAccount() != "" {
		if err := billing.AccountID(r.GetAccount()).Validate(); err != nil {
			return refuse(ReasonInvalidRequest, "", "account %q: %v", r.GetAccount(), err)
		}
	}
	if r.GetCurrency() != "" {
		if _, err := billing.ParseCurrency(r.GetCurrency()); err != nil {
			return refuse(ReasonInvalidRequest, "write an ISO 4217 code in capitals, such as EUR", "%v", err)
		}
	}
	return checkPeriod(r.GetPeriod())
}

// checkPeriod accepts nothing, a month and a date.
func checkPeriod(id string) error {
	if id == "" {
		return nil
	}
	for _, layout := range []string{"2006-01", time.DateOnly} {
		if _, err := time.Parse(layout, id); err == nil {
			return nil
		}
	}
	return refuse(ReasonInvalidPeriod, "write the month, 2026-10, or the day on which the period starts, 2026-10-01",
		"%q is not the id of a period", id)
}

// periodMatches reports whether a period is meant by the id of a request.
func periodMatches(p billing.Period, id string) bool {
	return id == "" || p.ID() == id || strings.HasPrefix(p.ID(), id+"-")
}
