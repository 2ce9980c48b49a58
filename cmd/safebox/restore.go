package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
)

func (a *app) restoreCommand() *cobra.Command {
	var unchecked bool
	c := a.printing(&cobra.Command{
		Use: "restore FILE", Short: "Fill an empty database from a backup",
		Long: "restore refuses a database that has tables. The file is held against FILE.sha256 first; then all of it is restored or\n" +
			"nothing, under the initialisation lock, so that a worker that starts meanwhile waits.",
		Args: exactly("a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.refuseMemory("restore"); err != nil {
				return err
			}
			info, err := readBackup(args[0], unchecked, a.conf.Database.Dialect)
			if err != nil {
				return err
			}
			o := a.options("restore")
			o.Logger = a.quiet()
			return a.with(cmd.Context(), o, func(ctx context.Context, db storage.DB) error {
				began := time.Now()
				if err := a.restore(ctx, db, info); err != nil {
					return err
				}
				took := time.Since(began)
				s, err := current(ctx, db)
				if err != nil {
					return err
				}
				answer := struct {
					storage.BackupInfo
					Revision    string  `json:"revision"`
					TookSeconds float64 `json:"took_seconds"`
				}{info, s.Revision, took.Seconds()}
				return a.print(answer, func() error {
					return a.printf("Restored %s into %s, which is at %s. `safebox audit` proves it; workers may start.",
						info.Path, a.conf.Database, spelt(s.Revision))
				})
			})
		},
	})
	uncheckedFlag(c, &unchecked)
	return c
}

func uncheckedFlag(c *cobra.Command, unchecked *bool) {
	c.Flags().BoolVar(unchecked, "unchecked", false, "do without the checksum beside the file")
}

// readBackup refuses a file that is no backup, not the one that was taken, or not of this dialect.
func readBackup(file string, unchecked bool, d storage.Dialect) (storage.BackupInfo, error) {
	info, err := storage.ReadBackup(file, unchecked)
	if err != nil {
		return info, err
	}
	return info, info.Restorable(d)
}

// restore shows how far it is.
func (a *app) restore(ctx context.Context, db storage.DB, info storage.BackupInfo) error {
	n := narrate(ctx, a.err, db)
	defer n.end()
	err := db.Restore(ctx, info, n.say)
	if errors.Is(err, initlock.ErrLocked) {
		return &failure{
			Code: exitAgain, Err: fmt.Errorf("the database is not restored: %w", err),
			Todo: "`safebox status` tells which; stop it, then restore again into a database that is empty",
		}
	}
	return err
}
