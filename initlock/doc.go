// Package initlock lets exactly one of many identical processes prepare a database while the others wait for it, and
// tells the waiters how it went. It knows no database: a backend gives it a Locker, which is a lock that dies with its
// holder, and a Marker, which is one row that says what was last done under the lock.
//
// What it promises, for any number of processes that call Run at any time and die at any point:
//
//  1. At most one process at a time runs the work. The work runs on what holds the lock and cannot outlive it.
//  2. The marker says ready with a digest only after work with that digest ended well.
//  3. Every election that runs the work has an epoch of its own, and epochs only grow. A leader whose epoch is no longer
//     the marker's declares nothing: its end is ErrFenced.
//  4. A process that finds the marker ready with its own digest takes no lock.
//  5. A waiter waits on the marker and never inside a statement or a transaction, so it blocks no one: not the leader's
//     CREATE INDEX CONCURRENTLY, not vacuum.
//  6. A leader that dies, at any point, leaves the lock free and the marker not ready; the next process to look leads.
//     Once processes stop dying, every one of them ends ready or with an error that says why not.
//  7. A leader's failure reaches the processes that waited on its epoch as a LeaderError with its text and its exit code.
//     A failure found on arrival, or of a build with another digest, is old news: the arrival leads.
//  8. A schema newer than the build is never migrated by it: it is used where its oldest compatible revision allows,
//     and refused with an IncompatibleError where not.
//     "Newer" is by what the build knows, not by what its work leaves: a downgrade may lead, and the next to come then
//     leads in its turn.
//  9. A waiter that is told to stop stops at once. A leader that is told to stop declares no failure: another takes over.
//  10. Errors of the database that may pass are tried again for a bounded time, others are returned at once.
//
// The decisions are a pure state machine in process.go, which a test walks through exhaustively; Run is the shell that
// carries them out. DESIGN.md tells the protocol step by step, what a death at each step leaves behind, and which
// alternatives were turned down. Package initlock/locktest holds the suite that every Locker and Marker passes.
package initlock
