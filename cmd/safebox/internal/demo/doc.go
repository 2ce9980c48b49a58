// Package demo shows the cluster at work on a throw-away database: three replicas start at once, one of them prepares
// the database, thousands of events flow, one replica is killed in the middle, and at the end the audit and a tally of
// the demo's own are held against the database.
//
//  1. The events, and what must become of them, follow from the seed alone: not from the order in which partitions are
//     processed, nor from which replica is killed when.
//  2. The tally is kept while the events are made; no code of the ledger takes part in it.
//  3. Whatever way the demo ends, the replicas have ended and the database is gone. On Linux the replicas end even when
//     the demo itself is killed with SIGKILL.
package demo
