package main

import (
	"cmp"
	"context"
	"database/sql"
	"strings"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
)

func (a *app) migrateCurrent() *cobra.Command {
	var verbose bool
	c := a.printing(&cobra.Command{
		Use: "current", Short: "Say which revision the database is at; writes nothing",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.look(cmd.Context(), "migrate", func(ctx context.Context, db storage.DB) error {
				s, err := current(ctx, db)
				if err != nil {
					return err
				}
				return a.print(s, func() error { return a.printCurrent(s, verbose) })
			})
		},
	})
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "say more of the revision, and what Alembic believes")
	return c
}

func current(ctx context.Context, db storage.DB) (s migrations.State, err error) {
	err = db.Inspect(ctx, func(ctx context.Context, conn *sql.DB) (err error) {
		s, err = migrations.Current(ctx, conn, db.Dialect())
		return err
	})
	s.Pending = list(s.Pending)
	return s, err
}

func (a *app) printCurrent(s migrations.State, verbose bool) error {
	if verbose {
		if err := a.printf("Current revision for %s:", a.conf.Database); err != nil {
			return err
		}
		if e, err := migrations.Show(a.conf.Database.Dialect, s.Revision); err == nil {
			if err := a.printEntry(e); err != nil {
				return err
			}
		}
		t := terminal.NewTable(a.out, "Alembic says:", cmp.Or(s.Alembic, "(nothing)"))
		t.Row("In our own records:", map[bool]string{true: "yes", false: "no"}[s.Recorded])
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if s.Interrupted != "" {
		if err := a.printf("Interrupted: %s.", s.Interrupted); err != nil {
			return err
		}
	}
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
