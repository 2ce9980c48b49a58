package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
)

func (a *app) migrateHistory() *cobra.Command {
	var verbose, indicate bool
	c := a.printing(&cobra.Command{
		Use: "history", Short: "List the revisions that this build knows, the newest first",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			entries, at := migrations.History(a.conf.Database.Dialect), ""
			if indicate {
				err := a.look(cmd.Context(), "migrate", func(ctx context.Context, db storage.DB) error {
					s, err := current(ctx, db)
					at = s.Revision
					return err
				})
				if err != nil {
					return err
				}
			}
			return a.print(entries, func() error { return a.printHistory(entries, at, verbose) })
		},
	})
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "say more of each, its checksum too")
	c.Flags().BoolVarP(&indicate, "indicate-current", "i", false, "mark the revision that the database is at")
	return c
}

func (a *app) migrateHeads() *cobra.Command {
	var verbose bool
	c := a.printing(&cobra.Command{
		Use: "heads", Short: "Name the newest revision that this build knows",
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			heads := migrations.Heads(a.conf.Database.Dialect)
			return a.print(heads, func() error {
				for _, e := range heads {
					if verbose {
						if err := a.printEntry(e); err != nil {
							return err
						}
						continue
					}
					if err := a.printf("%s (head)", e.ID); err != nil {
						return err
					}
				}
				return nil
			})
		},
	})
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "say more of it, its checksum too")
	return c
}

func (a *app) migrateShow() *cobra.Command {
	return a.printing(&cobra.Command{
		Use: "show head|REVISION", Short: "Say what is known of a revision",
		Args: exactly("a revision"),
		RunE: func(_ *cobra.Command, args []string) error {
			e, err := migrations.Show(a.conf.Database.Dialect, args[0])
			if err != nil {
				return err
			}
			return a.print(e, func() error { return a.printEntry(e) })
		},
	})
}

// printHistory lists revisions as Alembic does: parent -> revision, what it is to the history, and its name in words.
func (a *app) printHistory(entries []migrations.Entry, at string, verbose bool) error {
	for _, e := range entries {
		if verbose {
			if err := a.printEntry(e); err != nil {
				return err
			}
			continue
		}
		mark := head(e)
		if e.ID == at {
			mark += " (current)"
		}
		if err := a.printf("%s -> %s%s, %s", parent(e), e.ID, mark, e.Doc); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printEntry(e migrations.Entry) error {
	t := terminal.NewTable(a.out, "Rev:", e.ID+head(e))
	for _, row := range [][2]string{
		{"Parent:", parent(e)},
		{"Path:", e.Path},
		{"SHA-256:", e.SHA256},
		{"Known to Alembic:", map[bool]string{true: "yes", false: "no"}[e.Alembic]},
	} {
		t.Row(row[0], row[1])
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return a.printf("\n    %s\n", e.Doc)
}

func head(e migrations.Entry) string {
	if e.Head {
		return " (head)"
	}
	return ""
}

func parent(e migrations.Entry) string { return cmp.Or(e.Parent, fmt.Sprintf("<%s>", base)) }
