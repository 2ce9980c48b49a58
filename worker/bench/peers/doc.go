// Package peers measures the event engine beside what people use instead, and beside the limits of the database, on one
// PostgreSQL in one run. It is a module of its own, so that the peers' dependencies stay out of the project's.
//
//	make bench
//
// It prints the table of the promises on performance, each as a ratio to what was measured beside it, and writes
// REPORT.md, drain.svg and, of where the time goes, PROFILES.md into this folder. TRIED.md, written by hand, says what was tried
// where a target is missed. The variables:
//
//   - BENCH_ROUNDS (3): how often everything is measured; the parties of a comparison take turns within a round, and begin
//     each round with another of them.
//   - BENCH_ONLY: a regular expression of the groups to measure, of drain, profile, replicas, append, single, flow, snapshot,
//     start, idle, claim and sqlite. Then no report is written, only what of it is of profile.
//   - BENCH_LONG=1: ten minutes under a held snapshot, three times, instead of one, once; and a whole backlog of five million drained.
//
// What holds:
//
//  1. All parties drain the events of one workload (package bench), on copies of one prepared database.
//  2. Where a peer wants to be told what to do with an event, it calls apply.sql, one function on the server that writes the
//     very rows that the ledger writes: one round trip an event, which is the least that per-event code can have.
//  3. After each drain the audit is asked, whoever drained: a party whose run went wrong ends the whole.
//  4. Queues are filled before the clock starts, and the peers' settings are the best that were found, not the defaults.
//
// Peers take fewer events than the engine, since a rate does not need more, and a short queue is kind to those that slow down
// on a long one.
package peers
