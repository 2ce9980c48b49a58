package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/query"
)

// lockLine says to people how the initialisation is.
func lockLine(i query.Init) string {
	if i.Holder == "" {
		return "free"
	}
	text := "held by " + i.Holder
	if i.Since != nil {
		text += " since " + terminal.Moment(*i.Since)
	}
	if i.Activity != "" {
		text += ": " + i.Activity
	}
	return text
}

func (a *app) statusCommand() *cobra.Command {
	var every time.Duration
	c := a.printing(&cobra.Command{
		Use: "status", Short: "Say whether the cluster is ready, who is in it and what waits",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("watch") {
				return a.watchStatus(cmd.Context(), every)
			}
			return a.look(cmd.Context(), "status", func(ctx context.Context, db storage.DB) error {
				s, err := query.ReadStatus(ctx, db, a.statusOptions())
				if err != nil {
					return err
				}
				return a.print(s, func() error { return a.printStatus(s) })
			})
		},
	})
	c.Flags().DurationVar(&every, "watch", 0, "say it again every 2s, or as --watch=1s has it, until interrupted")
	c.Flags().Lookup("watch").NoOptDefVal = "2s"
	return c
}

// statusOptions say whose status people ask for.
func (a *app) statusOptions() query.StatusOptions {
	return query.StatusOptions{Group: ledgerGroup, Database: a.conf.Database, Usable: usable}
}

// connections are those of a worker, "1 of 5" at work; "-" where they cannot be known. The server may have cut its name.
func connections(s query.Status, instance string) string {
	for name, c := range s.Connections {
		if name != "" && strings.HasPrefix(instance, name) {
			return fmt.Sprintf("%d of %d", c.Busy, c.Open)
		}
	}
	return "-"
}

// markerState is that of the marker, where it says more than ready does.
func markerState(s query.Status) string {
	switch {
	case s.State == initlock.Ready:
		return ""
	case s.State == initlock.Failed && s.Ready:
		return "failed when it was last prepared; what works with it goes on"
	default:
		return string(s.State)
	}
}

func (a *app) printStatus(s query.Status) error {
	t := terminal.NewTable(a.out, "database", s.Database)
	t.Row("ready", map[bool]string{true: "yes", false: "no"}[s.Ready])
	for _, row := range [][2]string{
		{"state", markerState(s)}, {"revision", s.Revision}, {"led by", s.Leader}, {"activity", s.Activity}, {"error", s.Error},
	} {
		if row[1] != "" {
			t.Row(row[0], row[1])
		}
	}
	t.Row("lock", lockLine(s.Init))
	if n := len(s.Init.Waiters); n > 0 {
		t.Row("waiting", terminal.Plural(int64(n), "replica")+": "+strings.Join(s.Init.Waiters, ", "))
	}
	if !s.Ready {
		if err := t.Flush(); err != nil {
			return err
		}
		if s.State == initlock.Absent && s.Init.Holder == "" {
			return a.printf("\nThe database is not initialised: start a worker or run `safebox init`.")
		}
		return nil
	}
	waiting := terminal.Plural(s.Backlog, "event")
	if s.OldestPending != nil {
		waiting += fmt.Sprintf(", the oldest since %s (%s ago)", terminal.Moment(*s.OldestPending), time.Duration(s.LagSeconds*float64(time.Second)).Round(100*time.Millisecond))
	}
	t.Row("backlog", waiting)
	t.Row("parked", terminal.Plural(s.Parked, "event")+" of "+terminal.Plural(s.ParkedWallets, "wallet"))
	if s.BackedUp != nil {
		verified := "none was ever verified"
		if s.Verified != nil {
			verified = "one was verified " + terminal.Moment(*s.Verified)
		}
		t.Row("backup", terminal.Moment(*s.BackedUp)+"; "+verified)
	}
	t.Row("workers", terminal.Count(len(s.Workers)))
	if err := t.Flush(); err != nil || len(s.Workers) == 0 {
		return err
	}
	if err := a.printf(""); err != nil {
		return err
	}
	t = terminal.NewTable(a.out, "WORKER", "STATE", ":LANES", ":AT WORK", "SINCE", "LAST SEEN", "LEADER", "VERSION")
	for _, w := range s.Workers {
		t.Row(w.Instance, w.State, w.Lanes, connections(s, w.Instance), terminal.Moment(w.Since), terminal.Moment(w.SeenAt), map[bool]string{true: "yes"}[w.Leader], w.Version)
	}
	return t.Flush()
}
