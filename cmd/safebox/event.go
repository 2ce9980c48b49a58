package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/query"
)

func (a *app) eventCommand() *cobra.Command {
	events := &cobra.Command{Use: "event", Short: "Publish events and look at them"}
	events.AddCommand(a.eventPublish(), a.eventShow(), a.eventTail())
	return group(events)
}

func (a *app) eventShow() *cobra.Command {
	var source string
	c := a.printing(&cobra.Command{
		Use: "show ID", Short: "Show an event and what became of it",
		Long: "show prints the event with its secrets masked, its place in the log, its outcome and the entries that it made. Several\n" +
			"sources may use one id; --source picks one of them, and spares the search through all sources.",
		Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.query(cmd.Context(), "event", func(ctx context.Context, db storage.DB) error {
				shown, err := query.Events(ctx, db, ledgerGroup, source, args[0])
				if err != nil {
					return fmt.Errorf("event %q: %w", args[0], err)
				}
				return a.print(shown, func() error { return a.printEvents(shown) })
			})
		},
	})
	c.Flags().StringVar(&source, "source", "", "only the event of this source")
	return c
}

func (a *app) printEvents(shown []query.Event) error {
	for i, s := range shown {
		if i > 0 {
			if err := a.printf(""); err != nil {
				return err
			}
		}
		var pretty strings.Builder
		e := json.NewEncoder(&pretty)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(s.Event); err != nil {
			return err
		}
		if err := a.printf("%s\nplace      partition %d, position %s, recorded %s\noutcome    %s", strings.TrimSpace(pretty.String()),
			s.Partition, terminal.Count(s.Position), terminal.Moment(s.RecordedAt), ending(s)); err != nil {
			return err
		}
		if len(s.Actions) > 0 {
			if err := a.printActions(s.Actions); err != nil {
				return err
			}
		}
		if len(s.Entries) == 0 {
			continue
		}
		t := terminal.NewTable(a.out, "SUBJECT", ":SEQ", ":AMOUNT", ":FEE", ":BALANCE")
		for _, e := range s.Entries {
			t.Row(e.Subject, seq(e), terminal.Count(e.Amount), terminal.Count(e.Fee), terminal.Count(e.Balance))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func ending(s query.Event) string {
	switch {
	case s.Reason != "":
		return s.Outcome + ": " + s.Reason
	case s.Error != "":
		return s.Outcome + ": " + s.Error
	default:
		return s.Outcome
	}
}
