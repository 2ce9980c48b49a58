// Package storagetest is the conformance suite that every backend of storage passes, and what other packages' tests
// need of a database that is ready for work.
//
//	func TestConformance(t *testing.T) { storagetest.Run(t, dbtest.PostgreSQL) }
//
// The suite opens the same database more than once, as several processes would. What it holds a backend to is the
// contract beside the interfaces in storage, worker/event and worker/ledger:
//
//  1. The log: an append is atomic, answers each event at its index, and leaves positions dense, whoever appends at the
//     same time. What was appended reads back as it was written, to the microsecond and to the byte.
//  2. Claims: one at a time for each partition and group; what a batch does commits with its cursor or not at all, and
//     the end of the connection is a rollback.
//  3. The ledger: whatever Store was given, a later Load finds, and so do the readers.
//  4. The audit is clean over all that the ledger does, and finds each kind of damage done behind its back.
//  5. A failure leaves nothing behind, and carries its class.
//
// It damages databases by hand, through the connection that initialisation gives, and reads tables by plain SQL: there a
// test says what the schema is, not what a backend makes of it.
package storagetest
