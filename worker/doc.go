// Package worker is a replica's life: it initialises the database or waits until another replica has, processes the
// wallet events on a shared pool of connections, serves HTTP, and drains.
//
// Order of opening, and why:
//
//  1. HTTP, so that an orchestrator sees a live process that is not ready yet.
//  2. The initialisation protocol; nothing below works on a database that is not ready.
//  3. The heartbeat, so that an operator sees the replica before it takes work.
//  4. The router with its lanes.
//
// Draining closes them in the reverse order: stop claiming and finish the batches in hand, finish the requests in hand,
// take the heartbeat away. Readiness is refused from the first moment of the drain.
//
// Where an operator takes the schema down below the replica's, steps 3 and 4 are closed, nothing is drained, and the replica
// waits until the schema is back: alive, not ready, and without bringing it back itself.
//
// A Supervisor, such as systemd, is told of all that, and gets signs of life while the replica moves. Waiting for the database
// is moving: only what a restart would mend keeps the signs away (see vitals).
//
// # The log
//
// One line tells one event of the process's own life; what happens to each wallet event is in the journal, and counted. At info
// the number of lines does not grow with the load. The same thing has the same name on every line:
//
//	instance                       the process, as its heartbeat and application_name name it; on every line
//	error                          what failed: what, where, and often why; with it, where a statement of the database failed,
//	statement, class, sqlstate     its name in queries/*.sql, what sort of failure (as in the metrics), the server's own code
//	partition, position            a place in the log, or a partition that a lane is at
//	event, type, subject           a wallet event: its id, its type, what orders it (npub and the like); never its data
//	events, requests, connections  how many of them
//	after, phase, attempt, attempts, unlogged  how far a batch got; which attempt this was; how many there were; lines left out
//	in, for, within, grace, giving_up_in       how long until the next attempt, or how long something may take
//	took, waited, worked, last_heard           how long something took, or ago it was
//	epoch, revision, known, oldest_compatible, outcome, activity, doing  the initialisation: see initlock
//	holder, since                              who holds the lock, and since when
//	holders, from, to, name, adopted, applied, reverted, repaired, seeded, indexes, index, table, object, sql, done, of, step, direction, taken_back,
//	differences, harmless_differences, alembic_version, expected         the schema: see migrations
//	addr, taken, method, path, status, bytes   HTTP
//	action, by, waiting                        what an operator did about parked events, and what waits still
//	server, server_process, socket, topic, group, lanes, batch, stuck, panic, stack  what their names say
package worker
