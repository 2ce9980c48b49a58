// Package metrics keeps what a replica shows to Prometheus: the pool, the statements, the initialisation and the engine.
//
// It is the only package that knows Prometheus' client library. The others declare a small observer interface each and
// are told nothing of who listens; a [Registry] satisfies all of them, by the shape of its methods.
//
// # Invariants
//
//  1. Every series exists from the first scrape, at zero, so that rate() sees the first increment and an alert can tell
//     "none" from "not measured". The names and labels are those of the golden list in this package's tests.
//  2. The number of series is fixed when the registry is made. A label takes its values from a closed set: where the
//     caller's value is open (an event's type, a statement's name, a consumer group) an unknown one counts as "other";
//     where the set belongs to a contract (a result, an outcome, a phase, a state) an unknown value is dropped.
//  3. No label holds a wallet, an identity, an amount or the text of a statement.
//  4. What is observed often (statements, waits, events, batches) takes no lock of this package and allocates nothing, but for
//     the first value of each native bucket and for exemplars, where there is a trace: a series is found in a map that is
//     filled when the registry is made and never written to afterwards.
//  5. A scrape asks the database nothing. What the database alone knows (the backlog, the parked events, the marker) is set
//     by whoever reads it anyway, and is NaN from the first time that it could not be read until it is read again; the
//     pool's figures are read from memory at the scrape.
//  6. Histograms are classic and native at once; which of the two a server keeps is its own choice.
//  7. Units are base units: seconds, connections, events. A counter never goes down within the life of a process.
package metrics
