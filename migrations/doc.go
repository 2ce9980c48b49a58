// Package migrations brings a database to the newest revision of the schema: SQL files per dialect, a planner over
// sql-migrate, the bookkeeping of Alembic, the guards and the currency seed. It adopts, in place, the databases that
// Alembic made.
//
// All of it runs on a *sql.DB of exactly one connection: the one that holds the initialisation lock. [Prepare] and
// [Upgrade] must run under that lock; [Current] and [Guard] only read and need none.
//
// Invariants, which the tests cite by number:
//
//  1. Nothing is written before everything that can be known beforehand has been found good: the applied migrations
//     form an unbroken, unchanged prefix of the known ones, the catalogue of a database to adopt is what its revision
//     says, no guard finds duplicates, and no supported currency is missing.
//  2. A revision is one transaction: its statements, its record in gorp_migrations, its checksum in
//     safebox_migration_checksum and, up to [LatestAlembic], the row of alembic_version. A death leaves all or none.
//  3. The records in gorp_migrations are the truth for what is applied, and stay readable by sql-migrate's own tool.
//     alembic_version follows them: below LatestAlembic the two name the same revision, from there on alembic_version
//     stays at LatestAlembic.
//  4. Adoption is never a guess. A fingerprint compares the live catalogue with the golden one of the revision, which stands
//     beside its file and which the tests hold against what the files make: tables, columns, types,
//     nullability, defaults, keys, checks and indexes. Each difference has a [Verdict]; a database is adopted with none or
//     harmless ones, and with any other the differences are listed and nothing is changed.
//  5. After Prepare every guarded column has a valid unique index. An index that already says so is trusted; without
//     one the rows are searched first, and duplicates end the run with nothing changed.
//  6. The seed is read and checked whole before the database is touched; it adds currencies and changes none.
//  7. DDL on PostgreSQL waits at most 2 s for a lock, so that it never makes every other session queue behind it;
//     then it is rolled back and tried again, with growing pauses, for as long as the context lives.
//  8. Everything may be repeated: after a death at any point the next run completes the work.
package migrations
