package query

import (
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// HistoryRequest asks how an account's subtotals of a period came to be. Of the
// filter, Latest does not count: a history is of the committed state.
type HistoryRequest struct {
	Filter
	ByDay bool // in the account's time zone; else by hour of UTC
}

// History tells, by event time, how an account's subtotals of a period came to be.
type History struct {
	Period billing.Period // zero when the account has none
	Series []HistorySeries
	Final  bool
	AsOf   AsOf
}

// HistorySeries is the history of one tariff, meter and currency.
type HistorySeries struct {
	Tariff, Meter string
	Currency      billing.Currency
	Buckets       []HistoryBucket // those that have events, by time
	// RestText and RestEvents are what the subtotals have beyond the buckets:
	// closing fees, what the period before left, catalog changes behind the events
	// they apply to. AmountText is the whole: the buckets and the rest.
	RestText   string
	RestEvents int64
	AmountText string
}

// HistoryBucket is one hour or day.
type HistoryBucket struct {
	Start        time.Time
	Events       uint64
	QuantityText string // change of the line items' quantities
	AmountText   string // change of the subtotals
}

// ForecastMethod says how a forecast was made.
type ForecastMethod uint8

// The methods of forecasts.
const (
	ForecastSoFar    ForecastMethod = iota + 1 // the figures as they are
	ForecastRepeated                           // the last days' usage repeated, and priced by the tariffs
	ForecastLinear                             // scaled by time
)

// Forecast estimates what an account's open period will come to.
type Forecast struct {
	Period      billing.Period // zero when the account has none
	Method      ForecastMethod
	Explanation string    // for people
	BasisStart  time.Time // the usage from here to SeenUntil was repeated or scaled; zero when none was
	SeenUntil   time.Time
	Sums        []ForecastSum
	Totals      []Total // by currency
	AsOf        AsOf
}

// ForecastSum is the estimate for one tariff, meter and currency.
type ForecastSum struct {
	Tariff, Meter string
	Currency      billing.Currency
	SoFarText     string
	AmountText    string
}
