package rate

import "fmt"

// Reasons for which rating itself rejects an event; plugins have their own
// beside these. They are stable: dead letters carry them.
const (
	ReasonNoCatalog      = "no_catalog"      // nothing has been applied yet
	ReasonNoMeter        = "no_meter"        // no meter selects the event
	ReasonNoSubscription = "no_subscription" // the account has no subscription in force at the event's time
	ReasonPeriodClosed   = "period_closed"   // the event's billing period is closed
	ReasonBadQuantity    = "bad_quantity"    // the meter's quantity is missing or no decimal
	ReasonBadAmount      = "bad_amount"      // the meter's amount is missing or no decimal
	ReasonTooManyGroups  = "too_many_groups" // the subscription has MaxGroups group combinations
)

// MaxGroups is how many group combinations a subscription may have in a period.
const MaxGroups = 10_000

func tooManyGroups() string {
	return fmt.Sprintf("the subscription has %d group combinations in this period already; group by a dimension with fewer values", MaxGroups)
}
