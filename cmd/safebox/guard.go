package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
)

func (a *app) guardCommand() *cobra.Command {
	return a.printing(&cobra.Command{
		Use: "guard", Short: "Look for npubs, handles and access keys that several wallets have",
		Long: "guard reads, and changes nothing. It works on a database that Alembic made, too. It exits 65 when values that must\n" +
			"be unique are not; an access key is masked.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.look(cmd.Context(), "guard", func(ctx context.Context, db storage.DB) error {
				var found []migrations.Violation
				err := db.Inspect(ctx, func(ctx context.Context, conn *sql.DB) (err error) {
					found, err = migrations.Guard(ctx, conn, db.Dialect())
					return err
				})
				if errors.Is(err, storage.ErrNotInitialised) {
					return storage.ErrNotInitialised
				}
				if err != nil {
					return err
				}
				if err := a.printGuard(found); err != nil {
					return err
				}
				if len(found) > 0 {
					return &failure{
						Code: exitData, Err: fmt.Errorf("%s must be unique and %s not", terminal.Plural(len(found), "value"), isAre(len(found))),
						Todo: "give all but one of the rows another value, or delete them",
					}
				}
				return nil
			})
		},
	})
}

func (a *app) printGuard(found []migrations.Violation) error {
	report := struct {
		OK         bool                   `json:"ok"`
		Guards     []string               `json:"guards"`
		Violations []migrations.Violation `json:"violations"`
	}{len(found) == 0, migrations.Guards(), list(found)}
	return a.print(report, func() error {
		if len(found) == 0 {
			return a.printf("%s hold: every value is unique.", strings.Join(report.Guards, ", "))
		}
		t := terminal.NewTable(a.out, "GUARD", "VALUE", ":ROWS", "IDS")
		for _, v := range found {
			t.Row(v.Guard, v.Value, v.Count, strings.Trim(fmt.Sprint(v.IDs), "[]"))
		}
		return t.Flush()
	})
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
