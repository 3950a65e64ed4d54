// Package sim runs the engine in a simulated world:
//
//	seed ──▶ world (accounts, tariffs, usage, applies, closes, orders, faults)
//	           │ acts                                  ▲ compares
//	           ▼                                       │
//	         scheduler ──one step──▶ real host.Host ──▶ oracle (log alone)
//	           │                      │        │
//	           ▼                      ▼        ▼
//	         virtual clock       simulated log  simulated store
//
// The host is the real one, with all its goroutines: it is opened, run, crashed
// and opened again by its own methods. Only what stands around it is simulated
// (see [host.Parts]). It runs in a bubble of testing/synctest, where time moves
// only when everybody waits.
//
// # Determinism
//
// Whatever the engine asks of the log or of the store that could take time stops
// at a gate. The scheduler waits until every goroutine of the bubble stands still,
// and then lets one of them, which the seed chooses, take one step: into the call,
// so that its effect takes place, or out of it, so that the caller learns of it. A
// crash in between is a crash after the effect and before the answer. So at most
// one of the engine's goroutines runs on its own at a time, and a seed makes the
// same run each time.
//
// # What a crash leaves
//
// The streams keep what was stored, whether or not the host was told. The store
// keeps what a Commit has returned for; of a Commit that a crash meets, all or
// nothing, as the seed has it. What the host had in memory is gone.
package sim
