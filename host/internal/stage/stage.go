// Package stage marks what a goroutine is doing, so that a profile of the
// processor time says which part of an event's way it was spent on, whatever
// functions were called there: memory management and map accesses count for the
// stage that asked for them.
//
// A goroutine enters a stage with a whole batch, not with an event:
//
//	stage.Decode.Enter()
//	… decode the batch …
//	stage.Price.Enter()
//	… price it …
//	stage.Leave()
//
// Entering allocates nothing and takes a few nanoseconds, profile or not. A
// goroutine that is started inherits the stage of the one that starts it.
//
// In a profile the stage is the value of the label Key, which
// `go tool pprof -tagfocus stage=price` selects.
package stage

import (
	"context"
	"runtime/pprof"
)

// Key is the name of the label in profiles.
const Key = "stage"

// Stage is a part of an event's way.
type Stage uint8

// The stages, in the order of an event's way.
const (
	Read       Stage = iota // messages from the log
	Decode                  // bodies to events
	Dedup                   // identities seen before
	Route                   // meters, subscriptions, periods: an event's slots
	Price                   // the plugin, and what is copied for it
	Fold                    // the outcome into the state
	Checkpoint              // making and committing checkpoints

	count = iota
)

var names = [count]string{"read", "decode", "dedup", "route", "price", "fold", "checkpoint"}

// String is the stage's name, the value of its label.
func (s Stage) String() string { return names[s] }

// All lists the stages in the order of an event's way.
func All() []Stage {
	list := make([]Stage, count)
	for i := range list {
		list[i] = Stage(i)
	}
	return list
}

var labels = makeLabels()

// makeLabels makes what Enter sets, once: making it allocates.
func makeLabels() (list []context.Context) {
	for _, name := range names {
		list = append(list, pprof.WithLabels(context.Background(), pprof.Labels(Key, name)))
	}
	return list
}

// Enter says that the calling goroutine works on the stage from here on.
func (s Stage) Enter() { pprof.SetGoroutineLabels(labels[s]) }

// Leave says that the calling goroutine works on no stage from here on. It takes
// away all labels of the goroutine.
func Leave() { pprof.SetGoroutineLabels(context.Background()) }
