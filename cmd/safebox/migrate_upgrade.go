package main

import (
	"github.com/spf13/cobra"

	"github.com/safebox/safebox/migrations"
)

func (a *app) migrateUpgrade() *cobra.Command {
	ch := &change{command: migrations.CommandUpgrade, target: "head"}
	return a.changing(&cobra.Command{
		Use: "upgrade [head|+N|REVISION]", Short: "Bring the database to a revision, head if none is named",
		Long: "upgrade runs under the initialisation lock, so it excludes the workers that start. Only at the head are the guards built\n" +
			"and the currencies seeded, and only then is the database ready. With --sql, FROM:TO makes a script without a database.",
		Args: atMost("a target"),
	}, ch)
}
