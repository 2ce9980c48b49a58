// Package api is the HTTP surface of a replica: health, metrics, the door through which events come in, questions
// about them, and a console.
//
//	GET  /livez                        the process answers and moves; it asks no database
//	GET  /readyz                       200 when every check holds, else 503; the body lists the checks
//	GET  /metrics                      for Prometheus
//	GET  /openapi.json                 all of this, described
//	POST /v1/events                    one CloudEvent, structured or binary, or a batch
//	GET  /v1/events/{source}/{id}      an event and what became of it
//	GET  /v1/wallets/{key}             a wallet, and its journal below /entries
//	GET  /v1/status                    the cluster as it is now
//	GET  /v1/parked                    the parked events
//	POST /v1/parked/{subject}/retry    processes them again; /skip gives the first up
//	GET  /                             a page with the status, for people
//
// [New] makes the handler, [Listen] binds the address, and [Server.Serve] answers until its context ends.
//
// # Invariants
//
//  1. An event is answered after its commit. Whoever reads "appended" or "duplicate" may forget the event: it is in the
//     log, durable. Whoever reads 503, or nothing, sends it again: its identity keeps it from counting twice.
//  2. In a batch each event gets an answer of its own, at its index; a bad event does not hold back the good ones beside
//     it. What stops the whole batch (broken JSON, a limit, the database) leaves nothing of it in the log, unless the
//     connection to the database was lost during the commit; sending it again is right then, too.
//  3. There are three surfaces: publishing (the ingest token), reading events and wallets (either token), and seeing to the
//     cluster (the admin token). One without a token answers this machine alone: the connection must end on a loopback
//     address, the request must name one as its host, so that a page in a browser cannot reach it by a name of its own, and no
//     proxy may have passed it on. Browsers may read the cluster's surface by a password, but what changes anything takes a
//     bearer token, which no page of another site can make a browser send.
//  4. Tokens are compared in constant time. Neither a token nor the content of an event gets into a log or an error, and no
//     secret of an event into any answer.
//  5. Bodies, headers and times are limited before anything is done with what was sent.
//  6. Every error is a problem document (RFC 9457), except what net/http refuses before there is a request (a malformed line
//     or header, headers over the limit): it writes plain text to the connection, and has no hook to say it otherwise. What
//     went wrong inside is logged, and not told to the client.
//  7. What was committed before a question is in its answer.
//  8. /openapi.json is the truth: every route is in it and no other, and each answer that the tests see is as it says.
package api
