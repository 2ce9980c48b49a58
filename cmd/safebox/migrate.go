package main

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
)

func (a *app) migrateCommand() *cobra.Command {
	migrate := &cobra.Command{Use: "migrate", Short: "See to the schema, as Alembic's commands of these names do"}
	migrate.AddCommand(a.migrateUpgrade(), a.migrateCurrent())
	return group(migrate)
}

func (a *app) migrateCurrent() *cobra.Command {
	return a.printing(&cobra.Command{
		Use: "current", Short: "Say which revision the database is at; writes nothing",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.look(cmd.Context(), "migrate", func(ctx context.Context, db storage.DB) error {
				s, err := current(ctx, db)
				if err != nil {
					return err
				}
				return a.print(s, func() error { return a.printCurrent(s) })
			})
		},
	})
}

func current(ctx context.Context, db storage.DB) (s migrations.State, err error) {
	err = db.Inspect(ctx, func(ctx context.Context, conn *sql.DB) (err error) {
		s, err = migrations.Current(ctx, conn, db.Dialect())
		return err
	})
	s.Pending = list(s.Pending)
	return s, err
}

func (a *app) printCurrent(s migrations.State) error {
	switch {
	case s.Problem != "":
		if err := a.printf("%s", cmp.Or(s.Revision, "(none)")); err != nil {
			return err
		}
		return a.printf("An upgrade would be refused: %s", s.Problem)
	case s.Revision == "":
		return a.printf("(none)")
	case s.Head:
		return a.printf("%s (head)", s.Revision)
	default:
		return a.printf("%s, to come: %s", s.Revision, strings.Join(s.Pending, ", "))
	}
}

func (a *app) migrateUpgrade() *cobra.Command {
	return a.printing(&cobra.Command{
		Use: "upgrade [head|+N|REVISION]", Short: "Bring the database to a revision, head if none is named",
		Long: "upgrade runs under the initialisation lock, so it excludes the workers that start. Only at the head are the guards built\n" +
			"and the currencies seeded, and only then is the database ready.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("%q takes one target, and got %q", cmd.CommandPath(), args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			target := "head"
			if len(args) == 1 {
				target = args[0]
			}
			if err := a.refuseMemory("migrate upgrade"); err != nil {
				return err
			}
			return a.with(cmd.Context(), a.options("migrate"), func(ctx context.Context, db storage.DB) error {
				report, err := a.upgrade(ctx, db, target)
				if err != nil {
					return err
				}
				report.Applied, report.Indexes = list(report.Applied), list(report.Indexes)
				answer := struct {
					migrations.Report
					TookSeconds float64 `json:"took_seconds"`
				}{report, report.Took.Seconds()}
				return a.print(answer, func() error { return a.printUpgrade(report) })
			})
		},
	})
}

// upgrade runs under the initialisation lock. What can be refused is refused before, because an error under the lock is
// told to every process that waits. The head is what any worker would make; below it the marker names the revision and
// a digest that no build has, so that the next worker elects a leader and goes on.
func (a *app) upgrade(ctx context.Context, db storage.DB, target string) (report migrations.Report, err error) {
	before, err := current(ctx, db)
	if err != nil {
		return report, err
	}
	to, err := migrations.Target(db.Dialect(), before, target, migrations.CommandUpgrade)
	if err != nil {
		return report, err
	}
	report = migrations.Report{From: before.Revision, To: to, Head: to == migrations.Latest()}
	if !report.Head && to == before.Revision {
		return report, nil
	}
	p, err := a.prepare(nil)
	if err != nil {
		return report, err
	}
	if !report.Head {
		p.lock.Digest, p.lock.Revision, p.lock.OldestCompatible = "schema "+to, to, to
	}
	_, err = db.Initialise(ctx, p.lock, func(ctx context.Context, conn *sql.DB) (err error) {
		report, err = migrations.Upgrade(ctx, conn, p.options, to)
		return err
	})
	return report, err
}

func (a *app) printUpgrade(r migrations.Report) error {
	if r.Adopted != "" {
		if err := a.printf("Adopted the database that Alembic made, at revision %s.", r.Adopted); err != nil {
			return err
		}
	}
	if len(r.Applied) == 0 {
		return a.printf("The database is at revision %s; there was nothing to apply.", r.To)
	}
	return a.printf("Applied %s; the database is at revision %s.", strings.Join(r.Applied, ", "), r.To)
}
