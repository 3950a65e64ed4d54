// Package chaos does to the real program what a bad year does to it, and compares
// what it bills with the naive rater, to the last digit:
//
//	World ──usage, twice, out of order, late──▶ tollway (a process) ──proxy──▶ NATS (a process)
//	  │                                            ▲  │
//	  └──▶ oracle                      kill, damage ┘  └──▶ every invoice ──▶ compared
//
// A campaign is one kind of fault, done many times on one site: a data directory, a
// server and a log. All that is chosen comes from the seed: the usage, the batches it
// is sent in, what is sent again, and what is broken. When exactly a process dies is
// up to the machine; so the same seed makes the same kind of run, not the same run.
//
// The package has what runs a site (site.go, program.go, natsd, proxy.go, receiver.go),
// the usage and its expected sums (world.go, feeder.go, compare.go), a file for each
// kind of fault, and the tables of results (report.go).
package chaos
