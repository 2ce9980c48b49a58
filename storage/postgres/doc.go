// Package postgres keeps the event log, the ledger and the initialisation lock in PostgreSQL 14 or newer, over pgx.
//
// What holds of its connections:
//
//  1. The pool has at most size + overflow connections. One that is handed back while there are more than size of them
//     is closed, unless a caller waits for one at that moment.
//  2. A caller waits for a connection at most the policy's timeout, and then gets a *storage.PoolTimeoutError with the
//     figures; a server that cannot be reached is a *storage.Error of class connection instead.
//  3. A connection that was idle for more than a second is pinged before it is used, and one older than the recycle time
//     is replaced. One on which the server refuses TLS goes on without, where the URL allows that.
//  4. Every connection to a server is named safebox/<role>/<instance> and is dead to the server at most 8 s after the
//     network cut its replica off: keepalives and tcp_user_timeout on both sides see to it. Behind a pooler, which has
//     connections of its own, these settings are left to the pooler.
//  5. Opening tries again while no server answers, until the policy's timeout has passed; what a second attempt cannot
//     mend (a password, a database's name, TLS) is storage.ErrConfig at once.
//
// And of its statements:
//
//  6. Each statement stands in queries/*.sql under a name. The name is the one in metrics, logs and errors; text of
//     statements is in none of them.
//  7. An error of a statement is a *storage.Error with a class by SQLSTATE. It shows neither parameters nor what the
//     server tells of a row in an error's detail and context; ServerError is what is left.
//  8. The statements of a batch find rows by an index, also with a plan that was made while the table was empty. Wallets are
//     changed in the order of their ids.
//
// And of the initialisation lock, the session advisory lock 841337001 (see package initlock):
//
//  9. What runs under the lock runs on the session that holds it. That session is never replaced: when it dies every
//     further statement is ErrLockLost, and nothing runs without the lock.
//  10. It is taken from the server itself. A pooler that stands where the server should be is found out when the database is
//     opened, and once more before the lock is taken, and is a *PoolerError.
//  11. A database that is ready costs no session but the pool's; being refused the lock costs a few statements, and of many
//     that want it one at a time opens a session. A server that is too full for the lock's session gets the pool's idle
//     connections back, so that somebody can lead.
//
// And of a pooler in front, where the server has an address of its own (storage.Options.Direct):
//
//  12. The pool's connections prepare no statement and change no setting for longer than a transaction, so that each
//     transaction may run on another session of the server. What belongs to a session (the lock, LISTEN, migrations) goes to
//     the server itself.
package postgres
