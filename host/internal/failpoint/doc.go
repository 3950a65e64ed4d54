// Package failpoint names places in the program at which a test of failures can make it
// die, as kill -9 would, exactly there:
//
//	failpoint.Hit("commit.after-store") // a checkpoint is stored and not shown
//
// In a program that is built as usual Hit is nothing: it is inlined, and leaves no code.
// Built with the tag failpoints, the variable [Env] names a place and how often it has to
// be met; host/internal/chaos goes through all of them. Such a program also takes a clock
// that can be set, see [Clock].
package failpoint

// Env names a place and the time that it is met at which the program dies, as
// "commit.after-store=3". It counts in programs built with the tag failpoints only.
const Env = "TOLLWAY_FAILPOINT"

// EnvMet is the name of a file to which such a program adds each place that it meets,
// once, a line each.
const EnvMet = "TOLLWAY_FAILPOINTS_MET"

// EnvClock is the name of a file that holds by how much such a program's wall clock is
// wrong, as a Go duration. It is read anew again and again.
const EnvClock = "TOLLWAY_CLOCK"
