// Package torture decides whether a cluster that was mistreated kept its promises. It has two halves.
//
// The library keeps histories and judges them. Clients (Draw says what they want, Client does it) append events through HTTP and
// through `safebox event publish`, several processes at once, and each writes down what it sent, what it was told and what it
// read, with the time. Check then decides from these histories and from the database's rows (Books) alone. It shares no code with
// worker/ledger: it has its own reading of the catalogue, so that a mistake there is not repeated here.
//
// The tests are the suite: real processes, real servers, and faults at random moments from a seed. `make torture` runs all of it
// and prints the table of TESTING.md; a short form is part of `make ci`. Deliberately broken builds of the program show that the
// checker notices.
//
// What Check holds:
//
//  1. What was acknowledged is in the log, once, with the content and at the place that the client was told (Lost, Doubled).
//  2. Every answer was right: a duplicate was sent before, a conflict differs, a refusal names what is wrong, and what was
//     refused is not in the log (WrongAnswer). Nothing is in the log that nobody sent (Stranger).
//  3. What one client sent for one subject, each after the answer to the one before, stands in the log in this order, and the
//     journal of a wallet has its own events in the order of the log (OutOfOrder). All wallets and partitions together agree on
//     one order: there is no circle.
//  4. Every event of the log was processed: it has one entry, two where a transfer was applied (Lost, Doubled), and none is
//     parked, since no fault is an event's fault (Parked).
//  5. Each wallet's entries are numbered without holes, each balance follows from the one before, the last is the wallet's, and
//     no sats come from nowhere (Money).
//  6. Every outcome follows from the catalogue and from what stands before it in the wallet's journal (WrongOutcome). A transfer
//     knows its payee where the registration was acknowledged before the transfer was sent; where it came later, either answer
//     is right.
//  7. A read that began after another ended never shows less; a read of a wallet shows a state that its journal has; a read of
//     the log after an acknowledgement shows what was acknowledged (Stale).
//  8. PostgreSQL saw no deadlock, since all lanes lock in one order (Deadlock). The suite asks the server.
//
// What a seed repeats: the clients' events, the choice and the order of the faults, their victims and their moments, counted from
// the start of the load. The operating system's schedule is not in it, so a failure that needs one comes again with its seed
// often, not always.
package torture
