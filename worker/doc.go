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
// A Supervisor, such as systemd, is told of all that, and gets signs of life while the replica moves. Waiting for the database
// is moving: only what a restart would mend keeps the signs away (see vitals).
package worker
