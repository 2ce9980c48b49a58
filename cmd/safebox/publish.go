package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/publish"
	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

func (a *app) eventPublish() *cobra.Command {
	return a.printing(&cobra.Command{
		Use: "publish FILE|-", Short: "Append events from a file of JSON lines",
		Long: "publish appends the events of a file, or of standard input, to the event log: CloudEvents 1.0, one a line. It may be\n" +
			"run again on the same file: what is in the log already counts as a duplicate. Good lines are appended beside bad\n" +
			"ones; a line that is refused, or that says something else than the log under the same id, makes the exit code 65.\n" +
			"An empty database is prepared first; any other is left as it is.",
		Args: exactly("FILE|-"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			in, err := a.source(args[0])
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, in.Close()) }()
			o := a.options("publish")
			o.Logger = a.quiet()
			return a.with(cmd.Context(), o, func(ctx context.Context, db storage.DB) error {
				if err := a.awaitReady(ctx, db); err != nil {
					return err
				}
				return a.publish(ctx, db, in)
			})
		},
	})
}

// source opens the file before anything touches the database.
func (a *app) source(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.in), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, noEvents(err)
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.Join(noEvents(fmt.Errorf("%s is a folder", name)), f.Close())
	}
	return f, nil
}

func noEvents(err error) error {
	return &failure{Code: exitUsage, Err: fmt.Errorf("no events to publish: %w", err), Todo: "name a file of JSON lines, or - for standard input"}
}

// shownProblems is how many lines are reported one by one; the rest is counted.
const shownProblems = 20

func (a *app) publish(ctx context.Context, db storage.DB, in io.Reader) error {
	line := terminal.NewProgress(a.err)
	problems := 0
	sum, failed := publish.Lines(ctx, announcer{db}, in, publish.Options{
		Patience: a.conf.Pool.Timeout,
		Progress: func(s publish.Summary) { line.Say(func() string { return "  " + counts(s) }) },
		Problem: func(p publish.Problem) {
			if problems++; problems <= shownProblems {
				line.Clear()
				fmt.Fprintln(a.err, "safebox: "+p.String())
			}
		},
	})
	line.Clear()
	if problems > shownProblems {
		fmt.Fprintf(a.err, "safebox: and %s more\n", terminal.Plural(problems-shownProblems, "line"))
	}
	if err := a.print(sum, func() error { return a.printf("%s", counts(sum)) }); err != nil {
		return errors.Join(failed, err)
	}
	switch {
	case failed != nil:
		return &failure{
			Code: exitCode(failed), Err: fmt.Errorf("publishing ended early, after %s: %w", terminal.Plural(sum.Lines, "line"), failed),
			Todo: "publish the same file again: what is in the log already counts as a duplicate",
		}
	case !sum.Clean():
		return &failure{
			Code: exitData,
			Err:  errors.New(notTaken(sum)),
			Todo: "correct the lines named above and publish the file again",
		}
	}
	return nil
}

// notTaken says how many lines the log does not have, and whether it has any.
func notTaken(s publish.Summary) string {
	bad := s.Refused + s.Conflicts
	text := terminal.Plural(bad, "line") + " not taken"
	if s.Lines > bad {
		text += "; the others are in the log"
	}
	return text
}

func counts(s publish.Summary) string {
	return fmt.Sprintf("%s appended, %s, %s, %s refused", terminal.Count(s.Appended),
		terminal.Plural(s.Duplicates, "duplicate"), terminal.Plural(s.Conflicts, "conflict"), terminal.Count(s.Refused))
}

// announcer tells the workers of each append; those that it does not reach poll.
type announcer struct{ storage.DB }

func (a announcer) Append(ctx context.Context, topic string, events []event.Event) ([]event.Receipt, error) {
	receipts, err := a.DB.Append(ctx, topic, events)
	if err == nil {
		_ = a.Announce(ctx, topic, event.HeadsOf(receipts))
	}
	return receipts, err
}
