package rpc

import (
	"context"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// History tells how an account's subtotals of a period came to be.
func (s subtotalService) History(ctx context.Context, r *tollwayv1.SubtotalServiceHistoryRequest) (*tollwayv1.SubtotalServiceHistoryResponse, error) {
	if r.GetAccount() == "" {
		return nil, refuse(ReasonInvalidRequest, `name one, {"account": "emma"}`, "account is missing")
	}
	filter, err := subtotalFilter(r)
	if err != nil {
		return nil, err
	}
	step := r.GetStep()
	switch step {
	case tollwayv1.HistoryStep_HISTORY_STEP_UNSPECIFIED:
		step = tollwayv1.HistoryStep_HISTORY_STEP_DAY
	case tollwayv1.HistoryStep_HISTORY_STEP_HOUR, tollwayv1.HistoryStep_HISTORY_STEP_DAY:
	default:
		return nil, refuse(ReasonInvalidRequest, "HISTORY_STEP_HOUR and HISTORY_STEP_DAY are known", "step %d is unknown", step)
	}
	if err := s.wait(ctx, r.GetMinPosition()); err != nil {
		return nil, err
	}
	answer, err := s.engine.History(ctx, query.HistoryRequest{Filter: filter, ByDay: step == tollwayv1.HistoryStep_HISTORY_STEP_DAY})
	if err != nil {
		return nil, err
	}
	out := &tollwayv1.SubtotalServiceHistoryResponse{
		Account: r.GetAccount(), Period: somePeriodOut(answer.Period), Step: step, Final: answer.Final, AsOf: asOfOut(answer.AsOf),
		Series: make([]*tollwayv1.HistorySeries, 0, len(answer.Series)),
	}
	for i := range answer.Series {
		out.Series = append(out.Series, seriesOut(&answer.Series[i]))
	}
	return out, nil
}

func seriesOut(s *query.HistorySeries) *tollwayv1.HistorySeries {
	out := &tollwayv1.HistorySeries{
		Tariff: s.Tariff, Meter: s.Meter, Currency: string(s.Currency), Buckets: make([]*tollwayv1.HistoryBucket, 0, len(s.Buckets)),
		Rest: s.RestText, RestEvents: s.RestEvents, Amount: s.AmountText,
	}
	for i := range s.Buckets {
		b := &s.Buckets[i]
		out.Buckets = append(out.Buckets, &tollwayv1.HistoryBucket{
			Start: timestamp(b.Start), Events: b.Events, Quantity: b.QuantityText, Amount: b.AmountText,
		})
	}
	return out
}

// somePeriodOut is absent for no period.
func somePeriodOut(p billing.Period) *tollwayv1.Period {
	if p.Start.IsZero() {
		return nil
	}
	return periodOut(p)
}

// Forecast estimates what an account's period will come to at its end.
func (s subtotalService) Forecast(ctx context.Context, r *tollwayv1.SubtotalServiceForecastRequest) (*tollwayv1.SubtotalServiceForecastResponse, error) {
	if r.GetAccount() == "" {
		return nil, refuse(ReasonInvalidRequest, `name one, {"account": "emma"}`, "account is missing")
	}
	filter := query.Filter{Account: billing.AccountID(r.GetAccount()), Period: r.GetPeriod()}
	if err := filter.Account.Validate(); err != nil {
		return nil, refuse(ReasonInvalidRequest, "", "account %q: %v", r.GetAccount(), err)
	}
	if err := checkPeriod(filter.Period); err != nil {
		return nil, err
	}
	if err := s.wait(ctx, r.GetMinPosition()); err != nil {
		return nil, err
	}
	answer, err := s.engine.Forecast(ctx, filter)
	if err != nil {
		return nil, err
	}
	out := &tollwayv1.SubtotalServiceForecastResponse{
		Account: r.GetAccount(), Period: somePeriodOut(answer.Period), Method: methodOf(answer.Method), Explanation: answer.Explanation,
		BasisStart: timestamp(answer.BasisStart), SeenUntil: timestamp(answer.SeenUntil),
		Sums: make([]*tollwayv1.ForecastSum, 0, len(answer.Sums)), Totals: totalsOut(answer.Totals), AsOf: asOfOut(answer.AsOf),
	}
	for _, f := range answer.Sums {
		out.Sums = append(out.Sums, &tollwayv1.ForecastSum{
			Tariff: f.Tariff, Meter: f.Meter, Currency: string(f.Currency), AmountSoFar: f.SoFarText, Amount: f.AmountText,
		})
	}
	return out, nil
}

func methodOf(m query.ForecastMethod) tollwayv1.ForecastMethod {
	switch m {
	case query.ForecastSoFar:
		return tollwayv1.ForecastMethod_FORECAST_METHOD_SO_FAR
	case query.ForecastRepeated:
		return tollwayv1.ForecastMethod_FORECAST_METHOD_REPEATED_USAGE
	case query.ForecastLinear:
		return tollwayv1.ForecastMethod_FORECAST_METHOD_LINEAR
	default:
		return tollwayv1.ForecastMethod_FORECAST_METHOD_UNSPECIFIED
	}
}
