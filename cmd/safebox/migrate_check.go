package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
)

func (a *app) migrateCheck() *cobra.Command {
	var allow bool
	c := a.printing(&cobra.Command{
		Use: "check", Short: "Hold the tables against what the revisions make; writes nothing",
		Long: "check compares tables, columns, types, nullability, defaults, keys, checks and indexes with those of the revision that the\n" +
			"database is at. It exits 65 when they differ, when the database is behind this build, or when an upgrade would be refused.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.look(cmd.Context(), "migrate", func(ctx context.Context, db storage.DB) error {
				r, err := check(ctx, db, migrations.CheckOptions{Dialect: db.Dialect(), AllowHarmless: allow})
				if err != nil {
					return err
				}
				if err := a.print(r, func() error { return a.printCheck(r) }); err != nil {
					return err
				}
				return failed(r)
			})
		},
	})
	c.Flags().BoolVar(&allow, "allow-harmless", false, "pass over differences that no program notices")
	return c
}

func check(ctx context.Context, db storage.DB, o migrations.CheckOptions) (r migrations.CheckReport, err error) {
	err = db.Inspect(ctx, func(ctx context.Context, conn *sql.DB) (err error) {
		r, err = migrations.Check(ctx, conn, o)
		return err
	})
	return r, err
}

func (a *app) printCheck(r migrations.CheckReport) error {
	if len(r.Differences) > 0 {
		if err := a.printf("%s", migrations.DifferenceTable(r.Differences)); err != nil {
			return err
		}
	}
	if r.OK {
		return a.printf("The tables are those of %s, the head.", spelt(r.Revision))
	}
	return nil
}

// failed is the error of a check that found something.
func failed(r migrations.CheckReport) error {
	if r.OK {
		return nil
	}
	e := &failure{Code: exitData, Todo: r.Do}
	switch {
	case r.Problem != "":
		e.Err = errors.New(r.Problem)
	case r.Drifted() || r.Head:
		e.Err = errors.New("the tables are not those of " + spelt(r.Revision))
	default:
		e.Err = errors.New("the database is at " + spelt(r.Revision) + " and this build knows " + migrations.Latest())
	}
	return e
}
