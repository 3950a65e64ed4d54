package query

import "github.com/tollway/tollway/host/accumulate"

// Alert is an alert that was fired.
type Alert struct {
	Stream    string // of the partition
	Partition int
	Number    uint64 // of the alert within its partition, from 1
	accumulate.Alert
}

// AlertFilter selects alerts. Zero fields select everything.
type AlertFilter struct {
	Account string
	Alert   string // its name in the catalog
	Period  string // "2026-10" or "2026-10-01"
}

// AlertPage is one page of alerts, the newest first.
type AlertPage struct {
	Alerts    []Alert
	NextToken string // empty on the last page
	AsOf      AsOf
}
