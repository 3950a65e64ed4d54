package rate

import (
	"fmt"
	"sync"
	"time"
)

// zones are the time zones that were loaded, by name. Loading one reads a file, which
// takes longer than answering a query. Only zones that exist are kept, so there are
// some hundred at most.
var zones sync.Map //nolint:gochecknoglobals // what it holds depends on names alone

// Location returns the calendar's time zone.
func (c Calendar) Location() (*time.Location, error) {
	if known, ok := zones.Load(c.Zone); ok {
		return known.(*time.Location), nil //nolint:forcetypeassert // nothing else is stored
	}
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return nil, fmt.Errorf("rate: time zone %q: %w", c.Zone, err)
	}
	zones.Store(c.Zone, zone)
	return zone, nil
}
