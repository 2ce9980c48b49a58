package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/safebox/safebox/cmd/safebox/internal/doctor"
	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/query"
)

// examineDatabase looks at a database that answered once. What fails to be looked at is a line of its own, and keeps nothing
// else from being looked at.
func (a *app) examineDatabase(ctx context.Context, db storage.DB, digest string) (lines []doctor.Line) {
	began := time.Now()
	if err := db.Ping(ctx); err != nil {
		return append(lines, wrong("reachable", err))
	}
	lines = append(lines, doctor.Fine("reachable", "it answers within "+time.Since(began).Round(10*time.Microsecond).String()))

	m, unread := db.Marker().Read(ctx)
	head := true
	var books []doctor.Line
	if unread != nil {
		books = append(books, wrong("marker", unread))
	} else {
		var schema doctor.Line
		schema, head = examineSchema(ctx, db, m)
		books = append(books, schema, examineMarker(ctx, db, m, digest), examineAlembic(ctx, db, head), examineGuards(ctx, db))
	}
	if offset, within, err := db.ClockOffset(ctx); err != nil {
		lines = append(lines, wrong("clock", err))
	} else if db.Dialect() == storage.PostgreSQL {
		lines = append(lines, doctor.Clock(offset, within))
	}
	switch v, err := db.Vitals(ctx); {
	case err != nil:
		lines = append(lines, wrong("server", err))
	case db.Dialect() == storage.SQLite:
		lines = append(lines, doctor.File(v)...)
	default:
		replicas := 0
		if unread == nil {
			replicas = liveReplicas(ctx, db, m)
		}
		lines = append(lines, doctor.Server(v, doctor.Plan{Pool: a.conf.Pool.Max(), Replicas: replicas, Head: head})...)
	}
	return append(lines, books...)
}

// liveReplicas counts the heartbeats; where there is no table for them yet, none.
func liveReplicas(ctx context.Context, db storage.DB, m initlock.Record) int {
	if usable(m) != nil {
		return 0
	}
	replicas, err := db.Replicas(ctx, worker.AliveWithin)
	if err != nil {
		return 0
	}
	return len(replicas)
}

// examineSchema tells whether the catalogue is what the revisions make, and whether no migration is due.
func examineSchema(ctx context.Context, db storage.DB, m initlock.Record) (line doctor.Line, head bool) {
	const check = "schema"
	if newest := migrations.Latest(); m.Revision > newest {
		if err := usable(m); err != nil {
			return wrong(check, err), true
		}
		return doctor.Wrong(check, doctor.Warning, doctor.Config,
			fmt.Sprintf("it is at revision %s, of a newer build than this one (%s), which may work with it", m.Revision, newest), "run a newer safebox"), true
	}
	var r migrations.CheckReport
	err := db.Inspect(ctx, func(ctx context.Context, conn *sql.DB) (err error) {
		r, err = migrations.Check(ctx, conn, migrations.CheckOptions{Dialect: db.Dialect(), AllowHarmless: true})
		return err
	})
	if err != nil {
		return wrong(check, err), false
	}
	counting := slices.DeleteFunc(slices.Clone(r.Differences), func(d migrations.Difference) bool { return d.Verdict == migrations.Harmless })
	switch {
	case r.OK:
		return doctor.Fine(check, "it is at revision "+r.Revision+", the newest, and its tables are that revision's"), true
	case r.Problem != "":
		return doctor.Wrong(check, doctor.Failure, doctor.Data, r.Problem, r.Do), r.Head
	case len(counting) > 0:
		return doctor.Wrong(check, doctor.Failure, doctor.Data,
			fmt.Sprintf("its tables differ from revision %s in %s", r.Revision, terminal.Plural(len(counting), "place")), r.Do), r.Head
	case r.Revision == "":
		return doctor.Wrong(check, doctor.Warning, doctor.Data, "the database has no tables of Safebox yet", "start a worker or run `safebox init`"), false
	default:
		return doctor.Wrong(check, doctor.Warning, doctor.Data,
			fmt.Sprintf("it is at revision %s, and to come: %s", r.Revision, strings.Join(r.Pending, ", ")),
			"take a backup, then start a worker or run `safebox init`"), false
	}
}

// examineMarker tells what the last leader left, and whether one is at work.
func examineMarker(ctx context.Context, db storage.DB, m initlock.Record, digest string) doctor.Line {
	const check = "marker"
	e, err := db.Election(ctx)
	if err != nil {
		return wrong(check, err)
	}
	at := query.Init{Holder: e.Holder.Name, Activity: e.Holder.Activity}
	if !e.Holder.Since.IsZero() {
		at.Since = &e.Holder.Since
	}
	if m.State == initlock.Running && m.Activity != "" {
		at.Activity = m.Activity
	}
	switch {
	case m.State == initlock.Absent && e.Held:
		return doctor.Fine(check, "the lock is "+lockLine(at))
	case m.State == initlock.Absent:
		return doctor.Fine(check, "there is none yet: no leader has prepared this database")
	case m.State == initlock.Running && e.Held:
		return doctor.Fine(check, "the lock is "+lockLine(at))
	case m.State == initlock.Running:
		return doctor.Wrong(check, doctor.Warning, doctor.Data, fmt.Sprintf("%s began to prepare the database at %s, and is gone", m.Holder, terminal.Moment(m.StartedAt)),
			"start a worker or run `safebox init`: it goes on from there")
	case m.State == initlock.Failed:
		level, kind := doctor.Failure, m.Code
		if usable(m) == nil {
			level = doctor.Warning // the replicas that are at work go on
		}
		if kind != doctor.Unavailable && kind != doctor.Config {
			kind = doctor.Data
		}
		return doctor.Wrong(check, level, kind, fmt.Sprintf("%s failed to prepare the database: %s", m.Holder, m.Error),
			"mend that, then start a worker or run `safebox init`")
	case digest != "" && m.Digest != digest && m.Revision <= migrations.Latest():
		return doctor.Fine(check, fmt.Sprintf("ready, by %s, of another build or seed: the next start prepares the database again", m.Holder))
	}
	return doctor.Fine(check, fmt.Sprintf("ready, by %s at %s", m.Holder, terminal.Moment(m.FinishedAt)))
}

// examineAlembic tells whether the Python program's books still say what they should.
func examineAlembic(ctx context.Context, db storage.DB, head bool) doctor.Line {
	const check = "alembic_version"
	versions, err := db.AlembicVersion(ctx)
	switch {
	case err != nil:
		return wrong(check, err)
	case slices.Equal(versions, []string{migrations.LatestAlembic}):
		return doctor.Fine(check, migrations.LatestAlembic+", the last revision that Alembic knows")
	case head && len(versions) == 0:
		return doctor.Wrong(check, doctor.Warning, doctor.Data, "it is empty or gone: Alembic would make every table again", "start a worker or run `safebox init`, which puts it back")
	case head:
		return doctor.Wrong(check, doctor.Failure, doctor.Data,
			fmt.Sprintf("it says %s, where %s is right: the Python program moved the schema beside us", strings.Join(versions, " and "), migrations.LatestAlembic),
			"run `safebox migrate current`, which says what a start would do about it")
	case len(versions) == 0:
		return doctor.Fine(check, "it is not there, or empty")
	}
	return doctor.Fine(check, strings.Join(versions, " and "))
}

// examineGuards tells whether a value that must be unique is not.
func examineGuards(ctx context.Context, db storage.DB) doctor.Line {
	const check = "guards"
	found, err := guards(db)(ctx)
	if errors.Is(err, storage.ErrNotInitialised) {
		return doctor.Fine(check, "there are no wallets yet")
	}
	if err != nil {
		return wrong(check, err)
	}
	var broken []string
	for _, name := range migrations.Guards() {
		if n := found[name]; n > 0 {
			broken = append(broken, fmt.Sprintf("%s by %s", name, terminal.Plural(n, "value")))
		}
	}
	if len(broken) > 0 {
		return doctor.Wrong(check, doctor.Failure, doctor.Data, "several wallets share what must be unique: "+strings.Join(broken, ", "),
			"`safebox guard` lists them: give all but one of the rows another value")
	}
	return doctor.Fine(check, strings.Join(migrations.Guards(), ", ")+" are unique")
}
