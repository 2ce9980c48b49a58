package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// mostParked is the most parked events, or actions on them, that a command lists.
const mostParked = 100_000

// subjectPage is how many subjects are asked for at once.
const subjectPage = 1000

func (a *app) parkedCommand() *cobra.Command {
	parked := &cobra.Command{Use: "parked", Short: "See to events that could not be processed"}
	parked.AddCommand(a.parkedList(), a.parkedRetry(), a.parkedSkip())
	return group(parked)
}

func (a *app) parkedList() *cobra.Command {
	var history bool
	c := a.printing(&cobra.Command{
		Use: "list [SUBJECT]", Short: "List the parked events, with what stopped them",
		Long: "list shows the events that wait, those of one subject or all. With --history it shows what was done about parked\n" +
			"events instead: who retried or skipped which, when and why, the last first. Nothing of that is ever deleted.",
		Args: atMost("SUBJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.query(cmd.Context(), "parked", func(ctx context.Context, db storage.DB) error {
				subject := ""
				if len(args) == 1 {
					subject = walletOrSubject(ctx, db, args[0])
				}
				if history {
					return a.listActions(ctx, db, subject)
				}
				parked, err := db.Parked(ctx, event.Topic, ledgerGroup, subject, event.Place{}, mostParked)
				if err != nil {
					return err
				}
				return a.print(list(parked), func() error { return a.printParked(parked) })
			})
		},
	})
	c.Flags().BoolVar(&history, "history", false, "what operators did, instead of what waits")
	return c
}

func (a *app) printParked(parked []event.Parked) error {
	if len(parked) == 0 {
		return a.printf("Nothing is parked.")
	}
	t := terminal.NewTable(a.out, "SUBJECT", "ID", "TYPE", "PARKED AT", ":ATTEMPTS", "ERROR")
	for _, p := range parked {
		t.Row(p.Subject, p.ID, p.Type, terminal.Moment(p.ParkedAt), p.Attempts, p.Error)
	}
	if err := t.Flush(); err != nil || len(parked) < mostParked {
		return err
	}
	return a.printf("and perhaps more than these %s", terminal.Count(len(parked)))
}

func (a *app) listActions(ctx context.Context, db storage.DB, subject string) error {
	actions, err := db.ParkedActions(ctx, event.Topic, ledgerGroup, subject, mostParked)
	if err != nil {
		return err
	}
	return a.print(list(actions), func() error {
		if len(actions) == 0 {
			return a.printf("Nothing was ever retried or skipped.")
		}
		return a.printActions(actions)
	})
}

func (a *app) printActions(actions []event.ParkedAction) error {
	t := terminal.NewTable(a.out, "WHEN", "ACTION", "BY", "SUBJECT", ":EVENTS", "POSITIONS", "REASON", "FAILED WITH")
	for _, act := range actions {
		at := fmt.Sprint(act.First)
		if act.Last != act.First {
			at = fmt.Sprintf("%d to %d", act.First, act.Last)
		}
		t.Row(terminal.Moment(act.At), act.Action, act.Actor, act.Subject, act.Events, at, act.Reason, act.Error)
	}
	return t.Flush()
}

// operatorFlags give a command who does it and why. by is filled in when the command runs.
func operatorFlags(c *cobra.Command, by *event.Operator, why string) {
	c.Flags().StringVar(&by.Actor, "by", "", "who does it (default the user of this session, as user@host)")
	c.Flags().StringVar(&by.Reason, "reason", "", why)
}

// identify fills in who does it, and refuses a name or a reason that a table could not show.
func identify(by *event.Operator) error {
	if by.Actor = strings.TrimSpace(by.Actor); by.Actor == "" {
		by.Actor = sessionUser()
	}
	by.Reason = strings.TrimSpace(by.Reason)
	for name, text := range map[string]string{"--by": by.Actor, "--reason": by.Reason} {
		if fault := event.OperatorTextFault(text); fault != "" {
			return &usageError{fmt.Errorf("%s takes %s", name, fault)}
		}
	}
	return nil
}

// sessionUser is who runs this process, as user@host.
func sessionUser() string {
	name, host := fmt.Sprint("uid ", os.Getuid()), "localhost"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil && h != "" {
		host = h
	}
	return name + "@" + host
}

func (a *app) parkedRetry() *cobra.Command {
	var all bool
	var by event.Operator
	c := a.printing(&cobra.Command{
		Use: "retry SUBJECT | --all", Short: "Process parked events again, in order",
		Long: "retry processes the parked events of a subject again, until one fails. A wallet is named by its npub or its handle. It\n" +
			"exits 65 when something is still parked. Who did it is kept: `safebox parked list --history` shows it.",
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
			if err := identify(&by); err != nil {
				return err
			}
			return a.query(cmd.Context(), "parked", func(ctx context.Context, db storage.DB) error {
				if all {
					return a.retryAll(ctx, db, by)
				}
				r, err := worker.Operations{DB: db, Logger: a.log}.Retry(ctx, args[0], by)
				return a.resolved(args[0], r, err)
			})
		},
	})
	c.Flags().BoolVar(&all, "all", false, "every subject that has parked events")
	operatorFlags(c, &by, "why, for those who read the history")
	return c
}

func (a *app) parkedSkip() *cobra.Command {
	var by event.Operator
	c := a.printing(&cobra.Command{
		Use: "skip SUBJECT --reason TEXT", Short: "Give up the first parked event of a subject, then process those behind it",
		Long: "skip rejects the first parked event of a subject with the reason \"skipped\", for ever, and processes those behind it. Who\n" +
			"gave it up and why is kept: `safebox parked list --history` and `safebox event show` tell.",
		Args: exactly("SUBJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := identify(&by); err != nil {
				return err
			}
			if by.Reason == "" {
				return &usageError{errors.New("an event is given up for ever: say why with --reason TEXT")}
			}
			return a.query(cmd.Context(), "parked", func(ctx context.Context, db storage.DB) error {
				r, err := worker.Operations{DB: db, Logger: a.log}.Skip(ctx, args[0], by)
				return a.resolved(args[0], r, err)
			})
		},
	})
	operatorFlags(c, &by, "why the event is given up (required)")
	return c
}

// walletOrSubject is the npub of a wallet that goes by this handle, or else the key itself.
func walletOrSubject(ctx context.Context, db storage.DB, key string) string {
	if w, err := db.Wallet(ctx, key); err == nil {
		return w.Npub
	}
	return key
}

// resolved prints what became of the parked events of one subject.
func (a *app) resolved(key string, r event.ParkedResult, err error) error {
	switch {
	case errors.Is(err, event.ErrNotFound):
		return &failure{
			Code: exitData, Err: fmt.Errorf("no event of %q is parked", key), Todo: "`safebox parked list` shows those that are",
		}
	case err != nil:
		return fmt.Errorf("parked events of %q: %w", key, err)
	}
	return a.printResolved([]event.ParkedResult{r})
}

// retryAll retries every subject that has parked events, a page of subjects at a time.
func (a *app) retryAll(ctx context.Context, db storage.DB, by event.Operator) error {
	results := []event.ParkedResult{}
	var last event.ParkedSubject
	for {
		page, err := db.ParkedSubjects(ctx, event.Topic, ledgerGroup, last, subjectPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return a.printResolved(results)
		}
		for _, s := range page {
			r, err := worker.Operations{DB: db, Logger: a.log}.Retry(ctx, s.Subject, by)
			if errors.Is(err, event.ErrNotFound) {
				continue // somebody else was there first
			}
			if err != nil {
				return fmt.Errorf("parked events of %q: %w", s.Subject, err)
			}
			results = append(results, r)
		}
		last = page[len(page)-1]
	}
}

func (a *app) printResolved(results []event.ParkedResult) error {
	left := 0
	for _, r := range results {
		left += r.Waiting
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
