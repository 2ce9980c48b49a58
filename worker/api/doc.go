// Package api is the HTTP surface of a replica: health, metrics and the door through which events come in.
//
//	GET  /livez      the process answers and moves; it asks no database
//	GET  /readyz     200 when every check holds, else 503; the body lists the checks
//	GET  /metrics    for Prometheus
//	POST /v1/events  one CloudEvent (application/cloudevents+json) or a batch (application/cloudevents-batch+json)
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
//  3. Without a token the door opens only to this machine: the server must listen on a loopback address, and the request
//     must name one as its host, so that a page in a browser cannot reach it by a name of its own.
//  4. Tokens are compared in constant time. Neither a token nor the content of an event gets into a log or an error.
//  5. Bodies, headers and times are limited before anything is done with what was sent.
//  6. Every error is a problem document (RFC 9457). What went wrong inside is logged, and not told to the client.
package api
