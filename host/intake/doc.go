// Package intake writes usage to the log. It packs what any number of callers
// hand in by partition, and publishes each partition's messages in groups: while
// one group is on its way to the disk, the next one gathers. So a call that is
// alone waits for one write, and many small ones share it.
//
//	Chunk ──▶ Intake.Add ──▶ one lane for each partition ──▶ Log.Publish ──▶ Ticket.Wait ──▶ Outcome
//
// What a lane holds is bounded: Add waits for room. The order of a caller's
// events of a partition is their order in the log.
package intake
