package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// mostParked is the most parked events that a command reads.
const mostParked = 100_000

func (a *app) parkedCommand() *cobra.Command {
	parked := &cobra.Command{Use: "parked", Short: "See to events that could not be processed"}
	parked.AddCommand(a.parkedList(), a.parkedRetry(), a.parkedSkip())
	return group(parked)
}

func (a *app) parkedList() *cobra.Command {
	return a.printing(&cobra.Command{
		Use: "list", Short: "List the parked events, with what stopped them",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.query(cmd.Context(), "parked", func(ctx context.Context, db storage.DB) error {
				parked, err := db.Parked(ctx, event.Topic, ledgerGroup, "", mostParked)
				if err != nil {
					return err
				}
				return a.print(list(parked), func() error { return a.printParked(parked) })
			})
		},
	})
}

func (a *app) printParked(parked []event.Parked) error {
	if len(parked) == 0 {
		return a.printf("Nothing is parked.")
	}
	t := terminal.NewTable(a.out, "SUBJECT", "ID", "TYPE", "PARKED AT", ":ATTEMPTS", "ERROR")
	for _, p := range parked {
		t.Row(p.Subject, p.ID, p.Type, terminal.Moment(p.ParkedAt), p.Attempts, p.Error)
	}
	return t.Flush()
}

func (a *app) parkedRetry() *cobra.Command {
	var all bool
	c := a.printing(&cobra.Command{
		Use: "retry SUBJECT | --all", Short: "Process parked events again, in order",
		Long: "retry processes the parked events of a subject again, until one fails. A wallet is named by its npub or its handle. It\n" +
			"exits 65 when something is still parked.",
		Args: func(cmd *cobra.Command, args []string) error {
			if all && len(args) == 0 {
				return nil
			}
			if all {
				return errors.New("name a subject or give --all, not both")
			}
			return exactly("SUBJECT")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.query(cmd.Context(), "parked", func(ctx context.Context, db storage.DB) error {
				subjects := args
				if all {
					var err error
					if subjects, err = parkedSubjects(ctx, db); err != nil {
						return err
					}
				}
				return a.resolve(ctx, db, subjects, worker.Retry)
			})
		},
	})
	c.Flags().BoolVar(&all, "all", false, "every subject that has parked events")
	return c
}

func (a *app) parkedSkip() *cobra.Command {
	return a.printing(&cobra.Command{
		Use: "skip SUBJECT", Short: "Give up the first parked event of a subject, then process those behind it",
		Args: exactly("SUBJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.query(cmd.Context(), "parked", func(ctx context.Context, db storage.DB) error {
				return a.resolve(ctx, db, args, worker.Skip)
			})
		},
	})
}

// parkedSubjects lists the subjects that have parked events, each once, in the order of the log.
func parkedSubjects(ctx context.Context, db storage.DB) ([]string, error) {
	parked, err := db.Parked(ctx, event.Topic, ledgerGroup, "", mostParked)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var subjects []string
	for _, p := range parked {
		if !seen[p.Subject] {
			seen[p.Subject] = true
			subjects = append(subjects, p.Subject)
		}
	}
	return subjects, nil
}

// resolveOne does it for one subject, which may go by the handle of a wallet.
func resolveOne(ctx context.Context, db storage.DB, key string,
	do func(context.Context, event.Log, string) (bus.ParkedResult, error),
) (bus.ParkedResult, error) {
	r, err := do(ctx, db, key)
	if errors.Is(err, event.ErrNotFound) {
		if w, walletErr := db.Wallet(ctx, key); walletErr == nil && w.Npub != key {
			r, err = do(ctx, db, w.Npub)
		}
	}
	switch {
	case errors.Is(err, event.ErrNotFound):
		return r, &failure{
			Code: exitData, Err: fmt.Errorf("no event of %q is parked", key), Todo: "`safebox parked list` shows those that are",
		}
	case err != nil:
		return r, fmt.Errorf("parked events of %q: %w", key, err)
	}
	return r, nil
}

// resolve does something about the parked events of each subject.
func (a *app) resolve(ctx context.Context, db storage.DB, subjects []string,
	do func(context.Context, event.Log, string) (bus.ParkedResult, error),
) error {
	results, left := []bus.ParkedResult{}, 0
	for _, subject := range subjects {
		r, err := resolveOne(ctx, db, subject, do)
		if err != nil {
			return err
		}
		left += r.Waiting
		results = append(results, r)
	}
	err := a.print(results, func() error {
		if len(results) == 0 {
			return a.printf("Nothing is parked.")
		}
		t := terminal.NewTable(a.out, "SUBJECT", ":APPLIED", ":REJECTED", ":STILL PARKED", "ERROR")
		for _, r := range results {
			t.Row(r.Subject, r.Outcomes[string(ledger.Applied)], r.Outcomes[string(ledger.Rejected)], r.Waiting, r.Error)
		}
		return t.Flush()
	})
	if err != nil {
		return err
	}
	if left > 0 {
		return &failure{
			Code: exitData, Err: fmt.Errorf("%s still parked", terminal.Plural(left, "event")),
			Todo: "`safebox parked list` says what stopped them",
		}
	}
	return nil
}
