// Package telco makes the usage of a small telephone company, without end and always the same for the same seed. It is
// what `tollway usage generate` writes, what `tollway demo` runs on and what tests rate.
//
// In the mode Charged every event carries its amount, and the amounts of a customer add up to the same known sum each
// month, to the cent: whoever rates the usage can compare with Config.Sum without trusting any pricing code. In the mode
// Rated events carry what was used (seconds of calls, megabytes, messages), to be priced by a catalog.
//
//	customers × months × events ──shuffled over time──▶ event times ──delayed──▶ arrival order
//
// Event times are spread evenly over their calendar month (UTC). One event in ten, by chance, arrives up to twelve hours
// late, every fifty-first up to three days; arrival order is what Events yields, and what a log would hold. No event
// belongs to another month for being late.
//
// Nothing is kept but the events on their way: about 0.2 % of a month's. Which event comes next, whose it is and what it
// says are computed from the seed and its number, so that ten million events take no more memory than their delays.
package telco
