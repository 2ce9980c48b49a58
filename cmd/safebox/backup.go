package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
)

func (a *app) backupCommand() *cobra.Command {
	c := a.printing(&cobra.Command{
		Use: "backup FILE", Short: "Back the database up to a new file, while workers write",
		Long: "backup writes the database as it is at one moment: with pg_dump in its custom format, or with SQLite's online backup. The\n" +
			"file has its name only when it is whole, and FILE.sha256 beside it, which `sha256sum -c` reads. When the last backup was\n" +
			"taken is kept in the database, for `safebox status` and the metrics.",
		Args: exactly("a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := a.options("backup")
			o.MustExist, o.Logger = true, a.quiet()
			return a.with(cmd.Context(), o, func(ctx context.Context, db storage.DB) error {
				n := narrate(ctx, a.err, db)
				info, err := a.backUp(ctx, db, args[0], n.say)
				n.end()
				if err != nil {
					return err
				}
				answer := struct {
					storage.BackupInfo
					TookSeconds float64 `json:"took_seconds"`
				}{info, info.Took.Seconds()}
				return a.print(answer, func() error {
					return a.printf("Backed up to %s: %s bytes, SHA-256 %s.", info.Path, terminal.Count(info.Bytes), info.SHA256)
				})
			})
		},
	})
	c.AddCommand(a.backupVerify())
	return c
}

// backUp takes a backup and records it in the database, where that is one of ours. A backup that cannot be recorded is good
// all the same.
func (a *app) backUp(ctx context.Context, db storage.DB, file string, progress func(string)) (storage.BackupInfo, error) {
	progress("backing up to " + file)
	info, err := db.Backup(ctx, file, progress)
	if err != nil {
		return info, err
	}
	m, err := db.Marker().Read(ctx)
	if err == nil && m.State != initlock.Absent {
		err = db.NoteBackup(ctx, info)
	}
	if err != nil {
		a.log.Warn("the backup is good, but the database could not take down that it was taken", "path", info.Path, "error", err)
	}
	return info, nil
}
