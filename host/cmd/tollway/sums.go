package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// grouping reads --group-by.
func (c *subtotalsListCommand) grouping() (by tollwayv1.GroupBy, dimension string, err error) {
	switch what, name, named := strings.Cut(c.GroupBy, ":"); {
	case named && what == "dimension" && name != "":
		return tollwayv1.GroupBy_GROUP_BY_DIMENSION, name, nil
	case c.GroupBy == "account":
		return tollwayv1.GroupBy_GROUP_BY_ACCOUNT, "", nil
	case c.GroupBy == "meter":
		return tollwayv1.GroupBy_GROUP_BY_METER, "", nil
	case c.GroupBy == "tariff":
		return tollwayv1.GroupBy_GROUP_BY_TARIFF, "", nil
	case c.GroupBy == "total":
		return tollwayv1.GroupBy_GROUP_BY_UNSPECIFIED, "", nil
	}
	return 0, "", usageError{fmt.Errorf("--group-by %s: write account, meter, tariff, total, or dimension:NAME, such as dimension:region", c.GroupBy)}
}

// sums prints sums of subtotals.
func (c *subtotalsListCommand) sums(ctx context.Context, s streams, clients *rpc.Clients) error {
	by, dimension, err := c.grouping()
	if err != nil {
		return err
	}
	if c.Latest {
		return usageError{errors.New("--latest: sums are of committed state, so that all of them are of one cut: leave it out with --group-by")}
	}
	request := &tollwayv1.SubtotalServiceSumRequest{
		GroupBy: by, Dimension: dimension, Account: c.Account, Period: c.Period, Tariff: c.Tariff, Meter: c.Meter, Currency: c.Currency, PageSize: 1000,
	}
	if c.Order == "amount" {
		request.OrderBy = tollwayv1.SumOrder_SUM_ORDER_AMOUNT
	}
	whole := &tollwayv1.SubtotalServiceSumResponse{}
	for {
		if left := c.Limit - len(whole.GetSums()); c.Limit > 0 && left < 1000 {
			request.PageSize = uint32(left)
		}
		answer, err := clients.Subtotals.Sum(ctx, request)
		if err != nil {
			return failed(clients, err)
		}
		answer.Sums = append(whole.GetSums(), answer.GetSums()...)
		answer.Moved = answer.GetMoved() || whole.GetMoved()
		whole = answer
		if whole.GetNextPageToken() == "" || c.Limit > 0 && len(whole.GetSums()) >= c.Limit {
			break
		}
		request.PageToken = whole.GetNextPageToken()
	}
	if c.Output == "json" {
		return printJSON(s.out, whole)
	}
	if err := sumTable(c.GroupBy, whole.GetSums()).orSay("%s", noUsage(c.Account, c.subtotalFlags)).print(s.out, c.Output); err != nil || c.Output == "csv" {
		return err
	}
	if sums := whole.GetSums(); dimension != "" && len(sums) > 0 && sums[len(sums)-1].GetKey() == "" && sums[0].GetKey() == "" {
		fmt.Fprintf(s.out, "no subtotal here has a dimension %q: a tariff's group_by names those that it keeps apart\n", dimension)
	}
	if more := int(whole.GetSize()) - len(whole.GetSums()); more > 0 {
		fmt.Fprintf(s.out, "… and %d more; --limit 0 lists all\n", more)
	}
	for _, t := range whole.GetTotals() {
		fmt.Fprintf(s.out, "total %s %s\n", t.GetAmount(), t.GetCurrency())
	}
	return nil
}

// sumTable shows sums a line each.
func sumTable(by string, sums []*tollwayv1.SubtotalSum) *grid {
	_, dimension, named := strings.Cut(by, ":")
	if named {
		by = dimension
	}
	g := columns(by, ">subtotals", ">events", ">quantity", ">amount", "currency", "state")
	for _, t := range sums {
		key, quantity, amount := t.GetKey(), t.GetQuantity(), t.GetAmount()
		if key == "" {
			key = none
		}
		if quantity == "" {
			quantity = none
		}
		if amount == "" {
			amount = "too large"
		}
		g.add(key, fmt.Sprint(t.GetSubtotals()), fmt.Sprint(t.GetEvents()), quantity, amount, t.GetCurrency(), finality(t.GetFinal()))
	}
	return g
}
