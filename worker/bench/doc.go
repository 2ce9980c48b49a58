// Package bench measures a cluster of replicas on a real database: how fast it appends, how fast it drains, how soon an
// event is processed, and what the database does for each event.
//
//  1. A workload follows from its shape alone: the same seed makes the same events, whatever is measured with them.
//  2. Replicas share nothing but the database: each has a handle, a pool and a bus of its own, as processes have. They live
//     in this process, so a figure of theirs includes one runtime, and not one a replica.
//  3. Latencies are measured against the schedule, not against the last answer: a database that stalls makes every event late
//     that was due meanwhile.
//  4. A run ends with the audit. One that is fast and wrong is an error, of type *WrongError.
//
// The database must be empty and the caller's own. Where the server has other work, the bytes of WAL are the server's.
package bench
