package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
)

func (a *app) demoCommand() *cobra.Command {
	var events int
	var seed uint64
	c := a.printing(&cobra.Command{
		Use: "demo", Short: "Show three replicas at work on a throw-away database, and kill one",
		Long: "demo starts three replicas at once on a throw-away database, feeds them thousands of events, kills one with SIGKILL in\n" +
			"the middle, and shows that nothing was lost and nothing was applied twice. The database is a SQLite file in a temporary\n" +
			"folder; with --database, one of its own on that server or beside that file. The variable DATABASE is not looked at.\n" +
			"Everything is removed at the end.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if events < 1 || events > 1_000_000 {
				return &usageError{errors.New("--events must be from 1 to 1000000")}
			}
			o := demo.Options{
				Group: ledgerGroup, Events: events, Seed: seed, Environ: otherEnviron(), Out: a.out, Live: a.err, Logger: a.quiet(),
			}
			if cmd.Flags().Changed("database") {
				o.Database = a.conf.Database
			}
			if a.json {
				o.Out = io.Discard
			}
			report, err := demo.Run(cmd.Context(), o)
			if a.json {
				return errors.Join(err, a.print(report, nil))
			}
			return err
		},
	})
	c.Flags().IntVar(&events, "events", 12_000, "how many lines of activity to publish")
	c.Flags().Uint64Var(&seed, "seed", 1, "which script of events to play")
	return c
}
