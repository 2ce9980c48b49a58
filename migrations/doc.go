// Package migrations brings a database to the newest revision of the schema: SQL files per dialect, a planner over
// sql-migrate, the bookkeeping of Alembic, the guards and the currency seed. It adopts, in place, the databases that
// Alembic made.
//
// All of it runs on a *sql.DB of exactly one connection: the one that holds the initialisation lock. [Prepare], [Upgrade],
// [Downgrade] and [Stamp] must run under that lock; [Current], [Check], [Foresee], [Script] and [Guard] only read and need
// none.
//
// Invariants, which the tests cite by number:
//
//  1. Nothing is written before everything that can be known beforehand has been found good: the applied migrations
//     form an unbroken, unchanged prefix of the known ones, the catalogue of a database to adopt is what its revision
//     says, no guard finds duplicates, no supported currency is missing, and no table or column is there that a revision is
//     still to make.
//  2. A revision is one transaction: its statements, its record in gorp_migrations, its checksum in
//     safebox_migration_checksum and, up to [LatestAlembic], the row of alembic_version. A death leaves all or none. One that
//     is marked notransaction goes step by step, a statement a step: a step that can run in a transaction runs in one with
//     its outcome in safebox_migration_step; of one that cannot, the intent is recorded before it and the outcome after it.
//     The next run skips the finished steps. With an intent and no outcome, the catalogue tells of an index whether it is
//     there, and one that is invalid is dropped and built again; a CALL, or a DO block that commits, must be repeatable.
//     The books that every revision ends with, and the end of its steps, are one transaction.
//  3. The records in gorp_migrations are the truth for what is applied, and stay readable by sql-migrate's own tool.
//     alembic_version follows them: below LatestAlembic the two name the same revision, from there on alembic_version
//     stays at LatestAlembic. Where alembic_version names another revision, Alembic was at work: what it says is believed,
//     and records added or forgotten, if the catalogue is that of its revision, and never below a revision of our own.
//  4. Adoption is never a guess. A fingerprint compares the live catalogue with the golden one of the revision, which stands
//     beside its file and which the tests hold against what the files make: tables, columns, types,
//     nullability, defaults, keys, checks and indexes. Each difference has a [Verdict]; a database is adopted with none or
//     harmless ones, and with any other the differences are listed and nothing is changed. [Stamp] takes nobody's word
//     either: it makes what is missing, where that is asked for, and records nothing that the catalogue contradicts.
//  5. After Prepare every guarded column has a valid unique index. An index that already says so is trusted; without
//     one the rows are searched first, and duplicates end the run with nothing changed.
//  6. The seed is read and checked whole before the database is touched; it adds currencies and changes none.
//  7. DDL on PostgreSQL waits at most 2 s for a lock, so that it never makes every other session queue behind it;
//     then it is rolled back and tried again, with growing pauses, for as long as the context lives. A revision that changes
//     a table which others write to holds no lock that keeps them out for longer than a change of the catalogue takes; what
//     needs longer goes row by row in batches, or builds an index concurrently.
//  8. Everything may be repeated: after a death at any point the next run completes the work.
//  9. On SQLite foreign keys are not enforced while a revision's statements run, so that it may rebuild a table that others
//     refer to; nothing is committed that leaves more rows without the row they refer to than there were.
//  10. A downgrade counts what it takes away before it begins, and takes nothing that nobody allowed; a value that does
//     not fit below is never cut off.
//  11. A [Script] ends where the command ends, with the same catalogue and the same books, or breaks off at the first
//     statement where the database is not what it was made for. A marker that says ready does not outlive its beginning.
package migrations
