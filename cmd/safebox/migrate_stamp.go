package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
)

func (a *app) migrateStamp() *cobra.Command {
	ch := &change{command: migrations.CommandStamp}
	c := a.changing(&cobra.Command{
		Use: "stamp head|base|REVISION", Short: "Record which revision the tables are at, if they are",
		Long: "stamp changes the records and no table, and runs under the initialisation lock. The tables decide: a revision that they\n" +
			"are not at is refused, with the right one named. --repair makes what is missing; --repair --sql shows how.",
		Args: atMost("a revision"),
	}, ch)
	c.Flags().BoolVar(&ch.repair, "repair", false, "make the columns, indexes and tables that are missing")
	c.Flags().BoolVar(&ch.purge, "purge", false, "do not ask what alembic_version says")
	stamp := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return a.unnamed(cmd.Context())
		}
		return stamp(cmd, args)
	}
	return c
}

// unnamed refuses a stamp that names no revision, and says what it could name.
func (a *app) unnamed(ctx context.Context) error {
	const problem = "a stamp needs the revision that the tables are at: head, base or a revision"
	return a.look(ctx, "migrate", func(ctx context.Context, db storage.DB) error {
		s, err := current(ctx, db)
		switch {
		case err != nil:
			return errors.Join(&usageError{errors.New(problem)}, err)
		case s.Problem != "":
			return &failure{Code: exitUsage, Err: errors.New(problem + ". Of this one it is known: " + s.Problem)}
		}
		return &failure{
			Code: exitUsage, Err: fmt.Errorf("%s. The records say %s", problem, spelt(s.Revision)),
			Todo: "`safebox migrate check` holds the tables against it",
		}
	})
}
