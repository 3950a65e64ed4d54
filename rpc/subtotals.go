package rpc

import (
	"context"
	"strconv"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// subtotalRowsMax is how many subtotals one Get returns.
const subtotalRowsMax = 20_000

// subtotalService implements SubtotalService; Watch is in watch.go.
type subtotalService struct{ *services }

// Get returns the subtotals of one account.
func (s subtotalService) Get(ctx context.Context, r *tollwayv1.SubtotalServiceGetRequest) (*tollwayv1.SubtotalServiceGetResponse, error) {
	if r.GetAccount() == "" {
		return nil, refuse(ReasonInvalidRequest, `name one, {"account": "emma"}, or call List for all accounts`, "account is missing")
	}
	filter, err := subtotalFilter(r)
	if err != nil {
		return nil, err
	}
	filter.Latest = r.GetLatest()
	if err := s.waitIn(ctx, r.GetMinPosition(), filter.Latest); err != nil {
		return nil, err
	}
	answer, err := s.engine.AccountSubtotals(filter)
	if err != nil {
		return nil, err
	}
	if n := len(answer.Subtotals); n > subtotalRowsMax {
		return nil, refuse(ReasonTooManyRows, "call List, which pages",
			"account %q has %d subtotals in this period, more than %d", r.GetAccount(), n, subtotalRowsMax)
	}
	out := &tollwayv1.SubtotalServiceGetResponse{
		Account: r.GetAccount(), Totals: totalsOut(answer.Totals),
		Subtotals: subtotalsOut(answer.Subtotals), AsOf: asOfOut(answer.AsOf),
	}
	if len(answer.Subtotals) > 0 {
		out.Period = periodOut(answer.Subtotals[0].Period)
		out.Final = true
	}
	for i := range answer.Subtotals {
		out.Final = out.Final && answer.Subtotals[i].Final
	}
	return out, nil
}

// List returns a page of subtotals.
func (s subtotalService) List(ctx context.Context, r *tollwayv1.SubtotalServiceListRequest) (*tollwayv1.SubtotalServiceListResponse, error) {
	filter, err := subtotalFilter(r)
	if err != nil {
		return nil, err
	}
	pages := newPager("SubtotalService/List", r.GetAccount(), r.GetPeriod(), r.GetTariff(), r.GetMeter(), r.GetCurrency(), strconv.FormatBool(r.GetLatest()))
	page, err := pages.page(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	filter.Latest = r.GetLatest()
	if err := s.waitIn(ctx, r.GetMinPosition(), filter.Latest); err != nil {
		return nil, err
	}
	answer, err := s.engine.Subtotals(filter, page)
	if err != nil {
		return nil, err
	}
	return &tollwayv1.SubtotalServiceListResponse{
		Subtotals: subtotalsOut(answer.Subtotals), Totals: totalsOut(answer.Totals),
		NextPageToken: pages.next(answer.NextToken), AsOf: asOfOut(answer.AsOf),
	}, nil
}
