package oracle

import (
	"fmt"
	"maps"
	"math/big"
)

// This file reads parameters; it prices nothing.

// params are a tariff's parameters, or those of one of its tiers.
type params map[string]any

// tier is a step of a price list.
type tier struct{ above, upTo, price, fee *big.Rat } // upTo nil: no end

// paramsOf returns a tariff's parameters with those of a subscription over them.
func paramsOf(s binding) params {
	p := maps.Clone(s.version.Params)
	maps.Copy(p, s.subscription.Params)
	rows, _ := p["prices"].(map[string]any)
	for _, row := range rows {
		m, _ := row.(map[string]any)
		p["unit_price"] = m["unit_price"] // all rows have the same
	}
	return p
}

// row is that of a price table which has the price of an event, nil when none has.
func (p params) row(e Event) params {
	of, _ := p["dimension"].(string)
	rows, _ := p["prices"].(map[string]any)
	row, _ := rows[e.Data[of]].(map[string]any)
	return row
}

// carries reports whether the level at the end of a period goes on into the next.
func (b binding) carries() bool { return b.version.Params["recurring"] == true }

func (p params) tiers() []tier {
	var list []tier
	above := new(big.Rat)
	entries, _ := p["tiers"].([]any)
	for _, entry := range entries {
		m, _ := entry.(map[string]any)
		t := tier{above: above, price: params(m).decimal("unit_price"), fee: params(m).decimal("flat_fee")}
		if m["up_to"] != nil {
			t.upTo = params(m).decimal("up_to")
			above = t.upTo
		}
		list = append(list, t)
	}
	return list
}

// decimal reads a decimal text; absent is 0.
func (p params) decimal(name string) *big.Rat {
	if p[name] == nil {
		return new(big.Rat)
	}
	text, _ := p[name].(string)
	x, ok := new(big.Rat).SetString(text)
	if !ok {
		panic(fmt.Sprintf("oracle: %v is no number", p[name])) //nolint:forbidigo // a test made it up
	}
	return x
}
