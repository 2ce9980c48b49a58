// Package faulttest breaks the initialisation on purpose, and holds what is left to what initlock promises. It has no code
// of its own: its tests start real processes on real databases, and do to them what happens to processes in production.
//
// The processes are of two kinds. A victim is this test binary started again: it prepares the database as a worker does
// and then goes on for half a second with steps that leave a trail, so that there is something to break at any moment. The
// others are the program itself, built once a run.
//
// What is done to a leader at work: it is killed, the server ends its session, its connections are cut, they fall silent
// with everybody still there (a stalled proxy), or every packet of theirs is lost (a pulled cable). The first three come
// at random moments, a few of them in a short run and a hundred each where SAFEBOX_TEST_LONG is 1. SAFEBOX_TEST_SEED
// repeats the moments of an earlier run, whose seed stands in its log.
//
// After each, the tests hold the database to this:
//
//  1. Another process has completed the work, with a newer epoch.
//  2. The catalogue and the books of the migrations (gorp_migrations, the checksums, alembic_version) equal those of a
//     database that nothing happened to, and no step is there by half.
//  3. Nothing of the old leader was committed after the new one began.
//  4. The lock of a leader that fell silent is free within 10 s.
package faulttest
