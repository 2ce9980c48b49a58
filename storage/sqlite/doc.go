// Package sqlite keeps the event log, the ledger and the initialisation lock in one SQLite file, over ncruces/go-sqlite3.
//
// What holds of its connections:
//
//  1. A process writes through one connection. write hands it out to one transaction at a time, which begins with
//     BEGIN IMMEDIATE: it has SQLite's write lock from its first statement, and never fails half way for want of it.
//  2. Readers are a pool of their own, of the policy's size; they cannot write (query_only), and see one snapshot per
//     statement or, in snapshot, per call.
//  3. busy_timeout is the first pragma of every connection, so that no later one fails because another process is busy.
//     A commit is on disk when it returns (synchronous=FULL), and foreign keys hold.
//  4. A caller waits for a connection at most the policy's timeout, and then gets a *storage.PoolTimeoutError; for another
//     process's write lock it waits as long, and then gets a *storage.Error of class busy.
//  5. Opening makes the folder (for its owner only: wallets' access keys are in the file) and an empty file where they
//     are missing, and changes nothing in a file that is there: the first write turns on the write-ahead log.
//
// And of its statements:
//
//  6. Each statement stands in queries/*.sql under a name. The name is the one in metrics, logs and errors.
//  7. An error of a statement is a *storage.Error with a class by SQLite's result code, and shows no parameter.
//  8. When an error makes SQLite roll a transaction back by itself, the rest of its statements are refused: none of them
//     runs outside of it.
//
// And of the initialisation lock (see package initlock):
//
//  9. It is flock on <file>.init.lock beside the database, and on Linux on the database itself too, in case somebody
//     removes the first; held by the process and freed by its end, however it ends. The file is never removed, and one
//     that was replaced while it was being locked is locked again. What it says, while somebody holds the lock, is for people.
//  10. A file on a network file system is refused with a *NetworkFileSystemError.
package sqlite
