package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
)

func (a *app) initCommand() *cobra.Command {
	return a.printing(&cobra.Command{
		Use: "init", Short: "Prepare the database and exit",
		Long: "init does what a starting worker does before it processes: it creates, adopts or migrates the database, makes the guards\n" +
			"hold and seeds the currencies; or it waits for the process that is at it. On a database that is ready it does nothing.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.refuseMemory("init"); err != nil {
				return err
			}
			p, err := a.prepare(nil)
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), a.options("init"), func(ctx context.Context, db storage.DB) error {
				result, err := a.initialise(ctx, db, p.lock, p.work)
				if err != nil {
					return err
				}
				return a.printInit(result)
			})
		},
	})
}

func (a *app) printInit(r initlock.Result) error {
	report := struct {
		Outcome       initlock.Outcome `json:"outcome"`
		Revision      string           `json:"revision"`
		Leader        string           `json:"leader"`
		Epoch         int64            `json:"epoch"`
		WaitedSeconds float64          `json:"waited_seconds"`
		WorkedSeconds float64          `json:"worked_seconds"`
	}{r.Outcome, r.Record.Revision, r.Record.Holder, r.Record.Epoch, r.Waited.Seconds(), r.Worked.Seconds()}
	return a.print(report, func() error {
		switch r.Outcome {
		case initlock.OutcomeLed:
			return a.printf("The database is ready at revision %s; it took %v.", report.Revision, r.Worked.Round(time.Millisecond))
		case initlock.OutcomeFollowed:
			return a.printf("The database is ready at revision %s; %s prepared it.", report.Revision, report.Leader)
		case initlock.OutcomeNewer:
			return a.printf("The database is ready at revision %s, which is newer than this program and works with it.", report.Revision)
		default:
			return a.printf("The database was ready already, at revision %s.", report.Revision)
		}
	})
}
