// Package dbtest gives tests and benchmarks real databases to throw away.
//
//	func TestMain(m *testing.M) { dbtest.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		dbtest.Each(t, func(t *testing.T, url string) { … })
//	}
//
// What holds:
//
//  1. A test process starts at most one shared PostgreSQL server, when the first test asks for it, on a free port of the
//     loopback address; each test gets a database of its own there, which is dropped when the test ends.
//  2. The server and its files are gone when the test process is, however that ended: a companion process, which waits
//     for the end of a pipe, ends the server and removes the folder.
//  3. Nothing is skipped. Where PostgreSQL's programs are missing the test fails and says how to install them.
//  4. A server on the loopback address lets the role postgres in without a password; every other role needs one
//     (SCRAM-SHA-256).
//  5. A server without fsync is in memory where Linux has room enough there; with Fsync it is on the disk.
//  6. Fill spares a test what every test would do to its database first: the database becomes a copy of one that has it.
//  7. A PgBouncer belongs to one test and ends with it; on Linux also when the test process dies.
//  8. Build builds the program as the test itself was built: with the race detector, where the tests have it.
//
// SAFEBOX_TEST_POSTGRESQL names a server to use instead of the shared one: an URL whose role may create databases.
package dbtest
