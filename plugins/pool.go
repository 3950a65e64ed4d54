package plugins

import (
	"errors"
	"time"

	"github.com/tollway/tollway/plugins/fuel"
	"github.com/tollway/tollway/sdk/abi"
)

// The pool is the fuel that the units of one call may use together, beyond what one may. While a call runs, the
// garbage collector of the host waits for it, and with it everything else, so what counts is how long a call takes.
// Fuel bounds that well but for one thing: an access to memory may miss every cache, which takes fifty times as
// long as one that does not. So an instance begins with what a batch of usual work takes. It gets more when a batch of honest work was cut
// for want of it, and less when a call took long for its fuel. How a batch is cut changes no result.
const (
	poolFirst = 16_000_000
	poolMin   = 250_000
	poolMax   = 64_000_000
	callLong  = 25 * time.Millisecond
	slowFuel  = 8 * time.Nanosecond // for one unit of fuel; honest work takes one or two
)

// callPrice calls tariff_price for a number of units and adapts the pool.
func (i *Instance) callPrice(units int) (int32, error) {
	before, cpu, wall := i.fuelUsed, threadTime(), time.Now() //nolint:forbidigo // it decides how a batch is cut, which changes no result
	code, err := i.call(i.price, budget{fuel: abi.FuelBase, pool: i.module.fuelPerUnit + i.pool, units: units})
	// Elsewhere than on the thread where it began, the time of the thread says nothing.
	took := min(max(threadTime()-cpu, 0), time.Since(wall)) //nolint:forbidigo // it decides how a batch is cut, which changes no result
	switch {
	case took > callLong && took > time.Duration(i.fuelUsed-before)*slowFuel:
		i.pool = max(i.pool/8, poolMin)
	case err != nil && causeOf(err) == fuel.CausePool:
		i.pool = min(2*i.pool, poolMax)
	}
	return code, err
}

// causeOf is the cause of the error of a call.
func causeOf(err error) fuel.Cause {
	var t *trap
	if errors.As(err, &t) {
		return t.cause
	}
	return fuel.CauseGuest
}
