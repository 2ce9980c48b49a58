package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
)

func (a *app) migrateCommand() *cobra.Command {
	migrate := &cobra.Command{Use: "migrate", Short: "See to the schema, as Alembic's commands of these names do"}
	migrate.AddCommand(
		a.migrateUpgrade(), a.migrateDowngrade(), a.migrateStamp(), a.migrateCurrent(), a.migrateHistory(), a.migrateHeads(),
		a.migrateShow(), a.migrateCheck(), a.migrateNew(),
	)
	return group(migrate)
}

// change is a command that moves the schema or its books.
type change struct {
	command migrations.Command
	target  string
	sql     bool   // print the script, and write nothing
	backup  string // the file to back up to before anything is changed; "" for none

	yes, repair, purge bool // as migrations.Options has them
}

// changing gives a command the flags that all of those have which change the schema, and makes it do that.
func (a *app) changing(c *cobra.Command, ch *change) *cobra.Command {
	c.Flags().BoolVar(&ch.sql, "sql", false, "print what psql or sqlite3 runs to the same end, and write nothing")
	c.Flags().StringVar(&ch.backup, "backup", "", "back the database up to this new `FILE` before anything is changed")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			ch.target = args[0]
		}
		return a.change(cmd.Context(), *ch)
	}
	return a.printing(c)
}

func (a *app) change(ctx context.Context, c change) error {
	switch {
	case c.sql && c.backup != "":
		return &usageError{errors.New("--backup and --sql exclude one another: a script takes no backup, and `safebox backup` takes one at any time")}
	case c.sql:
		return a.script(ctx, c)
	}
	if err := a.refuseMemory("migrate " + string(c.command)); err != nil {
		return err
	}
	o := a.options("migrate")
	o.Logger = a.quiet()
	o.MustExist = c.command != migrations.CommandUpgrade
	return a.with(ctx, o, func(ctx context.Context, db storage.DB) error {
		report, backup, err := a.carryOut(ctx, db, c)
		if err != nil {
			return err
		}
		answer := struct {
			migrations.Report
			TookSeconds float64             `json:"took_seconds"`
			Backup      *storage.BackupInfo `json:"backup"`
		}{report, report.Took.Seconds(), backup}
		return a.print(answer, func() error { return a.printChange(c, report, backup) })
	})
}

// carryOut does the work under the initialisation lock. What can be refused is refused before, because a failure under the lock
// is told to everyone who looks at the marker.
//
// The marker is left ready at the revision that the schema then has. Only what makes the head of this build, guards and seed
// included, leaves this build's digest; anything else leaves one that no build has, so that the next worker elects a leader.
func (a *app) carryOut(ctx context.Context, db storage.DB, c change) (report migrations.Report, backup *storage.BackupInfo, err error) {
	p, err := a.prepare(nil)
	if err != nil {
		return report, nil, err
	}
	p.options.Logger = a.quiet()
	p.options.Yes, p.options.Repair, p.options.Purge = c.yes, c.repair, c.purge
	if c.backup != "" {
		if err := db.CheckBackup(ctx, c.backup); err != nil {
			return report, nil, err
		}
	}
	// A count from where the database is means where it is now, and not where somebody else takes it while this one waits.
	if c.target, err = a.foreseenAtRest(ctx, db, p.options, c); err != nil {
		return report, nil, err
	}
	p.lock.Logger, p.lock.Known, p.lock.Force = a.quiet(), p.lock.Revision, true
	if c.command != migrations.CommandUpgrade || c.target != migrations.Latest() {
		to := c.target
		if to == base {
			to = ""
		}
		p.lock.Digest, p.lock.Revision, p.lock.OldestCompatible = "schema "+to, to, to
	}

	n := narrate(ctx, a.err, db)
	defer n.end()
	p.lock.Observer = n
	working, giveUp := context.WithCancel(ctx)
	defer giveUp()
	result, err := db.Initialise(working, p.lock, func(ctx context.Context, conn *sql.DB) (err error) {
		p.options.Progress = func(activity string) {
			n.say(activity)
			initlock.Note(ctx, activity)
		}
		if err := migrations.Foresee(ctx, conn, p.options, c.command, c.target); err != nil {
			giveUp() // nothing was changed, so that nobody failed to prepare the database
			return err
		}
		if c.backup != "" {
			info, err := a.backUp(ctx, db, c.backup, p.options.Progress)
			if err != nil {
				giveUp()
				return err
			}
			backup = &info
		}
		switch c.command {
		case migrations.CommandDowngrade:
			report, err = migrations.Downgrade(ctx, conn, p.options, c.target)
		case migrations.CommandStamp:
			report, err = migrations.Stamp(ctx, conn, p.options, c.target)
		default:
			report, err = migrations.Upgrade(ctx, conn, p.options, c.target)
		}
		return err
	})
	if err == nil && result.Outcome == initlock.OutcomeNewer {
		err = &initlock.IncompatibleError{
			Known: p.lock.Known, Schema: result.Record.Revision, OldestCompatible: result.Record.OldestCompatible,
		}
	}
	if err != nil && backup != nil {
		err = &failure{
			Code: exitCode(err), Err: err, Todo: strings.TrimSpace(advice(err) + "\n  the backup was taken before: " + backup.Path),
		}
	}
	return report, backup, err
}

// base is the target before the first revision.
const base = "base"

// foreseenAtRest is foreseen of a schema that nobody moved meanwhile: somebody who has the lock may take tables away between two
// of its questions.
func (a *app) foreseenAtRest(ctx context.Context, db storage.DB, o migrations.Options, c change) (target string, err error) {
	for {
		before, err := current(ctx, db)
		if err != nil {
			return "", err
		}
		target, err := foreseen(ctx, db, o, c)
		if err == nil {
			return target, nil
		}
		after, readErr := current(ctx, db)
		if readErr != nil || after.Revision == before.Revision {
			return "", err
		}
		a.log.Debug("the schema was moved while it was looked at; looking again", "from", before.Revision, "to", after.Revision)
	}
}

// foreseen refuses what would be refused under the lock, and names the revision that the target stands for, or base.
func foreseen(ctx context.Context, db storage.DB, o migrations.Options, c change) (target string, err error) {
	err = db.Inspect(ctx, func(ctx context.Context, conn *sql.DB) error {
		if err := migrations.Foresee(ctx, conn, o, c.command, c.target); err != nil {
			return err
		}
		state, err := migrations.Current(ctx, conn, o.Dialect)
		if err != nil {
			return err
		}
		target, err = migrations.Target(o.Dialect, state, c.target, c.command)
		return err
	})
	if target == "" {
		target = base
	}
	return target, err
}

// script prints what psql or sqlite3 runs to the same end. A target of the form from:to needs no database; nor does an upgrade
// of a SQLite file that is still to be made, which begins at base.
func (a *app) script(ctx context.Context, c change) error {
	p, err := a.prepare(nil)
	if err != nil {
		return err
	}
	o := p.options
	o.Logger, o.Yes, o.Repair, o.Purge = a.quiet(), c.yes, c.repair, c.purge
	var script string
	if strings.Contains(c.target, ":") || c.command == migrations.CommandUpgrade && a.toBeMade() {
		script, err = migrations.Script(ctx, nil, o, c.command, c.target)
	} else {
		err = a.look(ctx, "migrate", func(ctx context.Context, db storage.DB) error {
			return db.Inspect(ctx, func(ctx context.Context, conn *sql.DB) (err error) {
				script, err = migrations.Script(ctx, conn, o, c.command, c.target)
				return err
			})
		})
	}
	if err != nil {
		return err
	}
	answer := struct {
		SQL string `json:"sql"`
	}{script}
	return a.print(answer, func() error { return a.printf("%s", strings.TrimSuffix(script, "\n")) })
}

// toBeMade tells whether DATABASE is a file that is not there yet.
func (a *app) toBeMade() bool {
	if a.conf.Database.Dialect != storage.SQLite || a.conf.Database.InMemory() {
		return false
	}
	_, err := os.Lstat(a.conf.Database.Path)
	return errors.Is(err, fs.ErrNotExist)
}

func (a *app) printChange(c change, r migrations.Report, backup *storage.BackupInfo) error {
	if backup != nil {
		if err := a.printf("Backed up to %s.", backup.Path); err != nil {
			return err
		}
	}
	if r.Adopted != "" {
		if err := a.printf("Adopted the database that Alembic made, at revision %s.", r.Adopted); err != nil {
			return err
		}
	}
	if len(r.Harmless) > 0 {
		if err := a.printf("It differs from that revision in what no program notices:\n%s", migrations.DifferenceTable(r.Harmless)); err != nil {
			return err
		}
	}
	if len(r.Lost) > 0 {
		if err := a.printf("Gone with what was taken back:"); err != nil {
			return err
		}
		t := terminal.NewTable(a.out, "  TABLE", "COLUMN", ":LOST", "OF")
		for _, l := range r.Lost {
			t.Row("  "+l.Table, l.Column, terminal.Count(l.Count), l.What)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	for _, statement := range r.Repaired {
		if err := a.printf("Repaired: %s;", statement); err != nil {
			return err
		}
	}
	return a.printf("%s", told(c.command, r))
}

// told says what a change did, in a sentence or two.
func told(c migrations.Command, r migrations.Report) string {
	at := "The database is at " + spelt(r.To) + "."
	switch {
	case c == migrations.CommandStamp:
		at = "Stamped: the database is at " + spelt(r.To) + ", and its tables are those."
	case len(r.Applied) > 0:
		at = fmt.Sprintf("Applied %s; the database is at %s.", strings.Join(r.Applied, ", "), spelt(r.To))
	case len(r.Reverted) > 0:
		at = fmt.Sprintf("Took back %s; the database is at %s.", strings.Join(r.Reverted, ", "), spelt(r.To))
	case c == migrations.CommandUpgrade:
		at = fmt.Sprintf("The database is at %s; there was nothing to apply.", spelt(r.To))
	case c == migrations.CommandDowngrade:
		at = fmt.Sprintf("The database is at %s; there was nothing to take back.", spelt(r.To))
	}
	if r.Head && c == migrations.CommandUpgrade {
		return at
	}
	return at + " The next worker that starts brings it to the head of its build."
}

// spelt is a revision for people.
func spelt(revision string) string {
	if revision == "" {
		return base
	}
	return "revision " + revision
}
