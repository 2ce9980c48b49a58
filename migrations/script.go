package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/safebox/safebox/storage"
)

// markerTable holds the ready marker of the initialisation protocol.
const markerTable = "safebox_init"

// Script is what a command does, as a script that psql or sqlite3 runs to the same end: it leaves the same catalogue and
// the same books. It writes nothing itself, and refuses what the command would refuse. The script takes the
// initialisation lock where the database has it (PostgreSQL), checks that the database is still where it was made for,
// and removes the ready marker, so that the next worker looks for itself.
//
// With a target of the form from:to, or without a database, it is Alembic's offline form: nothing is read, and the script
// is for a database at from (base if it is left out). A stamp judges by the catalogue and has no such form.
func Script(ctx context.Context, db *sql.DB, o Options, c Command, target string) (string, error) {
	j, err := newJob(db, o)
	if err != nil {
		return "", err
	}
	var e errand
	switch from, to, ranged := strings.Cut(target, ":"); {
	case c == CommandStamp && (ranged || db == nil):
		return "", &TargetError{c, target, "a stamp looks at the tables, and needs the database", ids(j.set.revisions)}
	case ranged:
		e, err = j.offline(c, from, to)
	case db == nil && c == CommandDowngrade:
		return "", &TargetError{c, target, "without a database a downgrade wants from:to", ids(j.set.revisions)}
	case db == nil:
		e, err = j.offline(c, "base", target)
	case c == CommandStamp:
		e, err = j.stampErrand(ctx, target)
	default:
		e, err = j.errand(ctx, c, target)
	}
	if err != nil {
		return "", err
	}
	return j.write(e), nil
}

// An errand is what a script is to do.
type errand struct {
	command  Command
	from, to int
	offline  bool    // nothing of the database is known but that it is at from
	facts    facts   // what is known
	probes   []probe // of what a downgrade must not meet
	losses   []Loss  // that somebody said yes to
	repairs  []Difference
	books    []string // that bring the records to from, or for a stamp to the target
	guards   []guard  // to be built
	stale    []string // indexes of guards that are there and invalid
	searched []guard  // whose rows can be looked at before anything is written
}

// errand finds out what an upgrade or a downgrade would do, and refuses what it would refuse.
func (j *job) errand(ctx context.Context, c Command, target string) (e errand, err error) {
	var p plan
	e.command = c
	if e.facts, p, e.to, err = j.aim(ctx, c, target); err != nil {
		return e, err
	}
	if i := e.facts.interrupted; i != nil {
		return e, &PlanError{
			Problem: i.in(j.set) + ", and a script begins at a revision",
			Do:      fmt.Sprintf("Bring it to its end with %s, then make the script.", i.goOn(j.set)),
		}
	}
	e.from = p.applied
	e.books = j.set.settle(e.facts, e.from, time.Now())
	if c == CommandDowngrade {
		e.losses, err = j.foreseeLosses(ctx, e.facts.catalogue, e.from, e.to)
		e.probes = j.set.probes(e.facts.catalogue, e.from, e.to)
		return e, err
	}
	if err := j.foresee(ctx, e.facts, e.from, e.to); err != nil {
		return e, err
	}
	t, exists := e.facts.catalogue[guardedTable]
	for _, g := range guards {
		if exists && g.satisfied(t) {
			continue
		}
		e.guards = append(e.guards, g)
		if _, ok := t.Indexes[g.indexName()]; ok {
			e.stale = append(e.stale, g.indexName())
		}
	}
	if exists {
		e.searched = e.guards
	}
	return e, nil
}

func (j *job) stampErrand(ctx context.Context, target string) (errand, error) {
	s, err := j.judge(ctx, target)
	if err != nil {
		return errand{}, err
	}
	return errand{
		command: CommandStamp, from: s.from, to: s.to, facts: s.facts, repairs: s.repairs,
		books: j.set.settle(s.facts, s.to, time.Now()),
	}, nil
}

// offline is an upgrade or a downgrade of a database of which nothing is known but its revision.
func (j *job) offline(c Command, from, to string) (e errand, err error) {
	e.command, e.offline = c, true
	if from == "" {
		from = "base"
	}
	if e.from, err = j.set.target(CommandStamp, from, -1); err != nil {
		return e, err
	}
	if e.to, err = j.set.target(c, to, e.from); err != nil {
		return e, err
	}
	now := time.Now()
	for _, r := range j.set.revisions[:e.from+1] {
		e.books = append(e.books, record(r, now)+" ON CONFLICT (id) DO NOTHING", rememberChecksum(r, now))
	}
	if c == CommandDowngrade {
		had, _ := j.set.golden(e.from)
		e.probes = j.set.probes(had, e.from, e.to)
		return e, nil
	}
	e.guards = guards
	if e.from >= 0 {
		e.searched = guards
	}
	return e, nil
}

// write puts an errand into the words of the dialect's program.
func (j *job) write(e errand) string {
	s := &script{dialect: j.Dialect}
	s.header(j, e)
	s.begin()
	if j.Dialect == storage.PostgreSQL {
		s.put("SET LOCAL client_min_messages = warning") // what exists or does not is no news
	}
	s.put(createBooks(j.Dialect)...)
	for _, a := range j.assertions(e) {
		s.assert(a)
	}
	s.put("DROP TABLE IF EXISTS " + markerTable)
	if e.command != CommandStamp {
		s.put(e.books...)
	}
	s.end()

	switch e.command {
	case CommandStamp:
		for _, d := range e.repairs {
			s.say(strings.TrimSpace("repairing " + d.Table + " " + d.Object))
			for _, sql := range d.Repair {
				s.run(statement{SQL: sql, Outside: j.Dialect == storage.PostgreSQL})
			}
		}
		s.say("stamping " + orBase(j.id(e.to)))
		s.begin()
		s.put(e.books...)
	case CommandDowngrade:
		for place := e.from; place > e.to; place-- {
			s.say("taking back " + j.id(place))
			s.run(j.set.statements(place, false, time.Now())...)
			s.end()
		}
	default:
		for place := e.from + 1; place <= e.to; place++ {
			s.say("migrating to " + j.id(place))
			s.run(j.set.statements(place, true, time.Now())...)
			s.end()
		}
		if j.isHead(e.to) {
			j.finish(s, e)
		}
	}
	s.footer()
	return s.String()
}

// finish builds the guards and seeds.
func (j *job) finish(s *script, e errand) {
	s.say("building the guards")
	for _, g := range e.guards {
		if slices.Contains(e.stale, g.indexName()) {
			s.run(statement{SQL: "DROP INDEX CONCURRENTLY IF EXISTS " + g.indexName(), Outside: true})
		}
		create := strings.Replace(g.create(j.Dialect), g.indexName(), "IF NOT EXISTS "+g.indexName(), 1)
		s.run(statement{SQL: create, Outside: j.Dialect == storage.PostgreSQL})
	}
	s.say("seeding currencies")
	s.begin()
	for all := j.Seed.Currencies; len(all) > 0; {
		n := min(len(all), seedBatch)
		s.put(j.insertion(all[:n]))
		all = all[n:]
	}
	if len(j.Supported) > 0 {
		codes := make([]string, len(j.Supported))
		for i, code := range j.Supported {
			codes[i] = quote(code)
		}
		s.assert(assertion{
			fmt.Sprintf("(SELECT count(*) FROM currencyrate WHERE currency_code IN (%s)) = %d", strings.Join(codes, ", "), len(j.Supported)),
			"supported currencies are missing: neither the table currencyrate nor the seed has them",
			"Add them to the file that CURRENCY_CSV names, and make the script again.",
		})
	}
	s.end()
}

// An assertion ends the script unless its condition holds.
type assertion struct{ condition, problem, do string }

// assertions are what must still hold when the script runs.
func (j *job) assertions(e errand) []assertion {
	const again = "Make the script again."
	versions := []string{strings.Join(e.facts.versions, " ")}
	records := []string{strings.Join(e.facts.records, " ")}
	if e.offline {
		versions, records = []string{j.set.alembicOf(e.from)}, []string{""}
		if files := strings.Join(filesOf(j.set.revisions[:e.from+1]), " "); j.id(e.from) > LatestAlembic {
			records = []string{files}
		} else if files != "" {
			records = append(records, files)
		}
	}
	all := []assertion{
		{
			joined(j.Dialect, "version_num", alembicTable) + in(versions),
			"alembic_version no longer says what it said when this script was made: " + orNothing(versions[0]), again,
		},
		{
			joined(j.Dialect, "id", recordsTable) + in(records),
			"gorp_migrations no longer says what it said when this script was made: " + orBase(j.id(e.from)), again,
		},
	}
	for _, g := range e.searched {
		all = append(all, assertion{
			fmt.Sprintf("NOT EXISTS (SELECT 1 FROM %[1]s WHERE %[2]s IS NOT NULL GROUP BY %[2]s HAVING count(*) > 1)", guardedTable, g.column),
			g.name() + " has values that several rows share", "`safebox guard` lists them.",
		})
	}
	for _, p := range e.probes {
		switch {
		case p.overflow != nil:
			all = append(all, assertion{
				p.count + " = 0", fmt.Sprintf("%s.%s has values beyond %s", p.overflow.Table, p.overflow.Column, p.overflow.Type),
				"Bring them into its range first.",
			})
		case !j.Yes:
			all = append(all, assertion{
				p.count + " = 0", "the downgrade would lose " + p.loss.what(), "Take a backup, and make the script with --yes.",
			})
		}
	}
	for _, d := range e.repairs {
		if d.Duplicates != "" {
			all = append(all, assertion{
				fmt.Sprintf("(%s) = 0", d.Duplicates), fmt.Sprintf("rows of %s share values that %s keeps unique", d.Table, d.Object),
				"Give all but one of them another value.",
			})
		}
	}
	return all
}

func filesOf(revisions []Revision) []string {
	names := make([]string, len(revisions))
	for i, r := range revisions {
		names[i] = r.File
	}
	return names
}

// joined is an expression for all values of a column in order, with blanks between them.
func joined(d storage.Dialect, column, table string) string {
	aggregate, order := "string_agg", `"C"`
	if d == storage.SQLite {
		aggregate, order = "group_concat", "BINARY"
	}
	return fmt.Sprintf("(SELECT coalesce(%s(v, ' '), '') FROM (SELECT %[2]s AS v FROM %[3]s ORDER BY %[2]s COLLATE %[4]s) AS all_of_them)",
		aggregate, column, table, order)
}

func in(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	return fmt.Sprintf(" IN (%s)", strings.Join(quoted, ", "))
}

func orNothing(s string) string {
	if s == "" {
		return nothing
	}
	return s
}

// quote is a text as an SQL literal of either dialect.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// script gathers the text for psql or sqlite3.
type script struct {
	strings.Builder
	dialect storage.Dialect
	open    bool // in a transaction
	asserts int
}

func (s *script) line(format string, values ...any) { fmt.Fprintf(s, format+"\n", values...) }

func (s *script) put(statements ...string) {
	for _, sql := range statements {
		s.line("%s;", sql)
	}
}

func (s *script) begin() {
	if s.open {
		return
	}
	s.open = true
	if s.dialect == storage.SQLite {
		s.put("BEGIN IMMEDIATE")
		return
	}
	s.put("BEGIN")
}

func (s *script) commit() {
	if s.open {
		s.put("COMMIT")
		s.open = false
	}
}

// end commits on PostgreSQL. On SQLite all of the script is one transaction.
func (s *script) end() {
	if s.dialect == storage.PostgreSQL {
		s.commit()
	}
}

// run writes statements, those that can be in a transaction in one between those that cannot.
func (s *script) run(statements ...statement) {
	for _, st := range statements {
		switch {
		case !st.Outside:
			s.begin()
			s.put(st.SQL)
			if st.Ends {
				s.end()
			}
		case strings.Contains(st.SQL, "CONCURRENTLY"):
			// It waits for old transactions, and nobody queues behind it.
			s.commit()
			s.put("SET lock_timeout = 0", st.SQL, "SET lock_timeout = '2s'")
		default:
			s.commit()
			s.put(st.SQL)
		}
	}
}

func (s *script) say(text string) {
	if s.dialect == storage.SQLite {
		s.line(".print %s", quote(text))
		return
	}
	s.line(`\echo %s`, quote(text))
}

// assert ends the script with an error unless the condition holds. SQLite can say nothing but the name of a constraint
// that failed.
func (s *script) assert(a assertion) {
	if s.dialect == storage.PostgreSQL {
		s.line("DO $safebox$\nBEGIN\n  IF NOT (%s) THEN\n    RAISE EXCEPTION USING MESSAGE = %s, HINT = %s;\n  END IF;\nEND\n$safebox$;",
			a.condition, quote(a.problem), quote(a.do))
		return
	}
	s.asserts++
	name := fmt.Sprintf("temp.safebox_assert_%d", s.asserts)
	message := strings.ReplaceAll(a.problem+". "+a.do, `"`, `""`)
	s.line(`CREATE TABLE %s (holds INTEGER CONSTRAINT "%s" CHECK (holds));`, name, message)
	s.line("INSERT INTO %s SELECT %s;", name, a.condition)
	s.line("DROP TABLE %s;", name)
}

func (s *script) header(j *job, e errand) {
	what := fmt.Sprintf("from %s to %s", orBase(j.id(e.from)), orBase(j.id(e.to)))
	if e.command == CommandStamp {
		what = orBase(j.id(e.to))
	}
	s.line("-- safebox migrate %s: %s.", e.command, what)
	program := `psql -X -f SCRIPT "$DATABASE", without -1 (--single-transaction)`
	if s.dialect == storage.SQLite {
		program = "sqlite3 FILE < SCRIPT"
	}
	s.line("-- Run it with %s.", program)
	s.line("-- It stops at the first error. A revision is then whole or not there; one that goes step by step `safebox migrate` goes on with.")
	if s.dialect == storage.SQLite {
		s.line("-- sqlite3 cannot take the initialisation lock: stop the workers first.")
	}
	for _, l := range e.losses {
		s.line("-- It takes away what these hold: %s", l)
	}
	if s.dialect == storage.SQLite {
		s.line(".bail on\n.timeout 5000")
		// A table that is rebuilt keeps the foreign keys of others only while nobody enforces them.
		s.put("PRAGMA foreign_keys = OFF")
		s.begin()
		s.put("CREATE TABLE temp.safebox_orphans AS SELECT count(*) AS n FROM pragma_foreign_key_check")
		return
	}
	s.line(`\set ON_ERROR_STOP on` + "\n" + `\set AUTOCOMMIT on`)
	s.put("SET client_encoding = 'UTF8'", "SET standard_conforming_strings = on", "SET statement_timeout = 0", "SET lock_timeout = '2s'")
	// Never by waiting: a session that waits for the lock deadlocks a concurrent index build of its holder.
	s.assert(assertion{
		"pg_try_advisory_lock(841337001)", "another process is initialising this database; nothing was changed",
		"Wait until it is done (`safebox status` tells), then make the script again.",
	})
}

func (s *script) footer() {
	if s.dialect == storage.SQLite {
		s.assert(assertion{
			"(SELECT count(*) FROM pragma_foreign_key_check) <= (SELECT n FROM temp.safebox_orphans)",
			"rows would refer to rows that are no longer there", "`PRAGMA foreign_key_check` lists them.",
		})
		s.commit()
		s.put("DROP TABLE temp.safebox_orphans")
		return
	}
	s.commit()
	s.line("DO $safebox$ BEGIN PERFORM pg_advisory_unlock(841337001); END $safebox$;")
	s.put("RESET lock_timeout", "RESET statement_timeout")
}
