package main

import (
	"testing"

	"github.com/tollway/tollway/sdk/tariff/tarifftest"
)

func TestPercentage(t *testing.T) {
	tarifftest.Run(t, percentage, []tarifftest.Case{
		{Name: "a rate and a fee", Params: `{"rate_percent":"1.5","fixed_fee":"2"}`, Events: tarifftest.Quantities("100", "50"), Want: []string{"rate 150 2.25", "fixed_fee 2 4"}},
		{Name: "what exhausts the free value is free", Params: `{"rate_percent":"10","fixed_fee":"1","free_amount":"30"}`, Events: tarifftest.Quantities("10", "20", "5"), Want: []string{"rate 35 0.5", "fixed_fee 1 1"}},
		{Name: "what crosses it pays on the excess", Params: `{"rate_percent":"10","fixed_fee":"1","free_amount":"30"}`, Events: tarifftest.Quantities("10", "21"), Want: []string{"rate 31 0.1", "fixed_fee 1 1"}},
		{Name: "the window ends with the first limit", Params: `{"rate_percent":"10","free_amount":"30","free_events":1}`, Events: tarifftest.Quantities("10", "20"), Want: []string{"rate 30 2", "fixed_fee 1 0"}},
		{Name: "nothing in sum", Params: `{"rate_percent":"10","fixed_fee":"1"}`, Events: tarifftest.Quantities("10", "-10"), Want: []string{"fixed_fee 2 0"}},
		{Name: "limits of an event, after its fee", Params: `{"rate_percent":"1","fixed_fee":"1","min_per_event":"1.75","max_per_event":"12"}`, Events: tarifftest.Quantities("10", "10000"), Want: []string{"usage 10010 13.75"}},
		{Name: "an event of nothing", Params: `{"rate_percent":"1","min_per_event":"3","zero_event":"charged"}`, Events: tarifftest.Quantities("0"), Want: []string{"usage 0 3"}},
		{Name: "each rounded in advance", Params: `{"rate_percent":"1","billing":"in_advance","rounding":{"scale":2,"mode":"half_up"}}`, Events: tarifftest.Quantities("0.5", "0.5", "0"), Want: []string{"usage 1 0.02"}},
		{Name: "no rate", Params: `{}`, Refused: "params.rate_percent: is missing"},
	})
}

func TestInAdvance(t *testing.T) {
	const tiers = `"tiers":[{"up_to":"5","unit_price":"2","flat_fee":"1"},{"unit_price":"1","flat_fee":"10"}],"billing":"in_advance"`
	tarifftest.Run(t, graduated, []tarifftest.Case{
		{Name: "nothing is due for nothing", Params: `{` + tiers + `}`},
		{Name: "the first event pays the first fee", Params: `{` + tiers + `}`, Events: tarifftest.Quantities("0", "0"), Want: []string{"usage 0 1"}},
		{Name: "a fall is not refunded, nor paid for again", Params: `{` + tiers + `}`, Events: tarifftest.Quantities("6", "-3", "3", "1"), Want: []string{"usage 7 23"}},
		{Name: "of converted units, after free ones", Params: `{` + tiers + `,"unit_conversion":{"operation":"divide","factor":"10","rounding":"ceiling"},"discounts":{"usage":"1"}}`, Events: tarifftest.Quantities("1", "11", "1"), Want: []string{"usage 1 3"}},
	})
	tarifftest.Run(t, volume, []tarifftest.Case{
		{Name: "the tier is given", Params: `{` + tiers + `,"tier_units":"9"}`, Events: tarifftest.Quantities("2", "1"), Want: []string{"usage 3 13"}},
	})
	tarifftest.Run(t, perUnit, []tarifftest.Case{
		{Name: "each event is rounded", Params: `{"unit_price":"0.005","billing":"in_advance","rounding":{"scale":2,"mode":"half_up"}}`, Events: tarifftest.Quantities("1", "1"), Want: []string{"usage 2 0.02"}},
		{Name: "filters beside other units", Params: `{"unit_price":"1","filters":[{"match":{},"unit_price":"2"}],"discounts":{"usage":"1"}}`, Refused: "params.filters: cannot be combined with unit_conversion or discounts.usage"},
		{Name: "a filter by no dimension", Params: `{"unit_price":"1","filters":[{"match":{"Cloud":["a"]},"unit_price":"2"}]}`, Refused: `params.filters[0].match: names "Cloud", which is no dimension of the meter`},
		{Name: "a filter that is no list", Params: `{"unit_price":"1","filters":[{"match":{"cloud":"a"},"unit_price":"2"}]}`, Refused: `params.filters[0].match.cloud: must be a list, not a string`},
		{Name: "no factor", Params: `{"unit_price":"1","unit_conversion":{"operation":"divide","factor":"0"}}`, Refused: "params.unit_conversion.factor: must be greater than 0"},
		{Name: "fewer than no free units", Params: `{"unit_price":"1","discounts":{"usage":"-1"}}`, Refused: "params.discounts.usage: must not be below 0"},
	})
}

func TestStairstep(t *testing.T) {
	const steps = `{"tiers":[{"up_to":"10","flat_fee":"5"},{"up_to":"20","flat_fee":"9"},{"flat_fee":"12"}]}`
	tarifftest.Run(t, stairstep, []tarifftest.Case{
		{Name: "the first step without usage", Params: steps, Want: []string{"tier_1_flat_fee 1 5"}},
		{Name: "one amount for all", Params: steps, Events: tarifftest.Quantities("10", "0.1"), Want: []string{"tier_2 10.1 0", "tier_2_flat_fee 1 9"}},
	})
}

func TestGraduatedPercentage(t *testing.T) {
	tarifftest.Run(t, graduatedPercentage, []tarifftest.Case{
		{Name: "each part at its rate", Params: `{"tiers":[{"up_to":"2","rate_percent":"10","flat_fee":"10"},{"rate_percent":"20","flat_fee":"20"}]}`, Events: tarifftest.Quantities("5"), Want: []string{"tier_1 2 0.2", "tier_1_flat_fee 1 10", "tier_2 3 0.6", "tier_2_flat_fee 1 20"}},
		{Name: "too fine a rate", Params: `{"tiers":[{"rate_percent":"0.00000000000000001"}]}`, Refused: "params.tiers[0].rate_percent: must have at most 16 decimal places"},
	})
}
