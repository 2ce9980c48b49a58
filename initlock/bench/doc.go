// Package bench measures how soon fifty replicas that start at one moment are ready, beside goose with its PostgreSQL
// session locker, in the same run on the same server. It is a module of its own, so that the peer's dependencies stay out
// of the project's.
//
//	cd initlock/bench && go test -bench . -benchtime 5x
//
// Replicas are processes: each is started, waits for the word to go, connects, initialises, and tells when it was ready.
// The figures are medians over the runs:
//
//   - leader-ms: from the word to go until the leader was ready
//   - behind-ms: from then until the last of the others was
//   - ready-ms (BenchmarkReady): from opening the database to ready, one replica, where nothing is left to do
package bench
