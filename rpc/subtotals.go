package rpc

import (
	"context"
	"strconv"

	"github.com/tollway/tollway/host/query"
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
	defer answer.Release() // what is returned is made of texts and numbers
	if isBinary(ctx) {
		return accountWire(r.GetAccount(), &answer), nil
	}
	out := &tollwayv1.SubtotalServiceGetResponse{
		Account: r.GetAccount(), Final: allFinal(answer.Subtotals), Totals: totalsOut(answer.Totals),
		Subtotals: subtotalsOut(answer.Subtotals), AsOf: asOfOut(answer.AsOf),
	}
	if len(answer.Subtotals) > 0 {
		out.Period = periodOut(answer.Subtotals[0].Period)
	}
	return out, nil
}

// allFinal reports whether there are subtotals, and all are final.
func allFinal(subtotals []query.Subtotal) bool {
	for i := range subtotals {
		if !subtotals[i].Final {
			return false
		}
	}
	return len(subtotals) > 0
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
	if isBinary(ctx) {
		return listWire(&answer, pages.next(answer.NextToken)), nil
	}
	return &tollwayv1.SubtotalServiceListResponse{
		Subtotals: subtotalsOut(answer.Subtotals), Totals: totalsOut(answer.Totals),
		NextPageToken: pages.next(answer.NextToken), AsOf: asOfOut(answer.AsOf), Moved: answer.Moved,
	}, nil
}

// Sum returns a page of sums of subtotals.
func (s subtotalService) Sum(ctx context.Context, r *tollwayv1.SubtotalServiceSumRequest) (*tollwayv1.SubtotalServiceSumResponse, error) {
	filter, err := subtotalFilter(r)
	if err != nil {
		return nil, err
	}
	grouping, err := groupingOf(r, filter)
	if err != nil {
		return nil, err
	}
	pages := newPager("SubtotalService/Sum", r.GetAccount(), r.GetPeriod(), r.GetTariff(), r.GetMeter(), r.GetCurrency(),
		r.GetGroupBy().String(), r.GetDimension(), r.GetOrderBy().String())
	page, err := pages.page(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	if err := s.wait(ctx, r.GetMinPosition()); err != nil {
		return nil, err
	}
	answer, err := s.engine.Sums(grouping, page)
	if err != nil {
		return nil, err
	}
	out := &tollwayv1.SubtotalServiceSumResponse{
		Sums: make([]*tollwayv1.SubtotalSum, 0, len(answer.Rows)), Totals: totalsOut(answer.Totals), Size: uint64(answer.Size),
		NextPageToken: pages.next(answer.NextToken), AsOf: asOfOut(answer.AsOf), Moved: answer.Moved,
	}
	for i := range answer.Rows {
		row := &answer.Rows[i]
		out.Sums = append(out.Sums, &tollwayv1.SubtotalSum{
			Key: row.Key, Currency: string(row.Currency), Amount: row.AmountText, Quantity: row.QuantityText,
			Events: row.Events, Subtotals: row.Subtotals, LastEventTime: timestamp(row.LastEventTime), Final: row.Final,
		})
	}
	return out, nil
}

// groupingOf reads what a request asks to add up by.
func groupingOf(r *tollwayv1.SubtotalServiceSumRequest, filter query.Filter) (query.Grouping, error) {
	g := query.Grouping{Filter: filter, Dimension: r.GetDimension()}
	switch r.GetGroupBy() {
	case tollwayv1.GroupBy_GROUP_BY_UNSPECIFIED:
		g.By = query.ByNothing
	case tollwayv1.GroupBy_GROUP_BY_ACCOUNT:
		g.By = query.ByAccount
	case tollwayv1.GroupBy_GROUP_BY_METER:
		g.By = query.ByMeter
	case tollwayv1.GroupBy_GROUP_BY_TARIFF:
		g.By = query.ByTariff
	case tollwayv1.GroupBy_GROUP_BY_DIMENSION:
		g.By = query.ByDimension
	default:
		return g, refuse(ReasonInvalidRequest, "GROUP_BY_ACCOUNT, _METER, _TARIFF and _DIMENSION are known", "group_by %d is unknown", r.GetGroupBy())
	}
	switch byDimension := g.By == query.ByDimension; {
	case byDimension && g.Dimension == "":
		return g, refuse(ReasonInvalidRequest, `name it, {"group_by": "GROUP_BY_DIMENSION", "dimension": "region"}`, "dimension is missing")
	case !byDimension && g.Dimension != "":
		return g, refuse(ReasonInvalidRequest, "set group_by to GROUP_BY_DIMENSION", "dimension %q is given, but not asked to group by", g.Dimension)
	}
	switch r.GetOrderBy() {
	case tollwayv1.SumOrder_SUM_ORDER_UNSPECIFIED, tollwayv1.SumOrder_SUM_ORDER_NAME:
	case tollwayv1.SumOrder_SUM_ORDER_AMOUNT:
		g.ByAmount = true
	default:
		return g, refuse(ReasonInvalidRequest, "SUM_ORDER_NAME and SUM_ORDER_AMOUNT are known", "order_by %d is unknown", r.GetOrderBy())
	}
	return g, nil
}
