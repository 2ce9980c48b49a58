// Package query answers the questions that people and programs ask about the log, the wallets and the cluster. Each answer
// has one JSON form, which the command line prints with --json and the HTTP surface sends.
//
// # Invariants
//
//  1. Nothing here writes.
//  2. No answer holds a secret: events are redacted, wallets come without their secrets, a database's URL without its password.
//  3. What was committed before a question is in its answer. An answer that takes several statements asks them in an order in
//     which a commit between them cannot make it older than its first one: see [Explain].
package query
