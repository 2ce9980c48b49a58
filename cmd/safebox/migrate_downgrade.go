package main

import (
	"github.com/spf13/cobra"

	"github.com/safebox/safebox/migrations"
)

func (a *app) migrateDowngrade() *cobra.Command {
	ch := &change{command: migrations.CommandDowngrade}
	c := a.changing(&cobra.Command{
		Use: "downgrade base|-N|REVISION", Short: "Take the database back to a revision",
		Long: "downgrade runs under the initialisation lock. It lists what would be lost, and loses it only with --yes. Stop the workers\n" +
			"first: those that run meanwhile wait, without being ready, until the database is at their revision again; one that\n" +
			"starts brings it there. With --sql, FROM:TO makes a script without a database.",
		Args: exactly("a target: base, -N or a revision"),
	}, ch)
	c.Flags().BoolVar(&ch.yes, "yes", false, "lose what the downgrade takes away")
	return c
}
