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
// long as one that does not, and a whole batch of such units could take seconds.
//
// A plugin with the usual budget, or a smaller one, is anybody's, and may mean harm. Its pool is small and fixed: with
// what a call has before its first unit, and with the budget of the unit that runs, it comes to callUsual, which even
// the dearest instructions spend within a tenth of a second.
//
// A plugin with more has it by the leave of whoever runs the host. Its pool follows the time that calls take: it
// begins with what a batch of usual work takes, gets more when a batch of honest work was cut for want of it, and less
// when a call took long for its fuel. How a batch is cut changes no result.
const (
	callUsual = 3_000_000

	poolFirst = 16_000_000
	poolMin   = 250_000
	poolMax   = 64_000_000
	callLong  = 25 * time.Millisecond
	slowFuel  = 8 * time.Nanosecond // for one unit of fuel; honest work takes one or two
)

// usual tells whether a plugin has no larger budget than every plugin may have.
func (m *Module) usual() bool { return m.fuelPerUnit <= abi.FuelPerEvent }

// poolAtFirst is the pool with which an instance begins.
func (m *Module) poolAtFirst() int64 {
	if m.usual() {
		return callUsual - abi.FuelBase - m.fuelPerUnit
	}
	return min(max(4*m.fuelPerUnit, poolFirst), poolMax)
}

// callPrice calls tariff_price for a number of units and adapts the pool.
func (i *Instance) callPrice(units int) (int32, error) {
	b := budget{fuel: abi.FuelBase, pool: i.module.fuelPerUnit + i.pool, units: units}
	if i.module.usual() {
		return i.call(i.price, b)
	}
	before, cpu, wall := i.fuelUsed, threadTime(), time.Now() //nolint:forbidigo // it decides how a batch is cut, which changes no result
	code, err := i.call(i.price, b)
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
