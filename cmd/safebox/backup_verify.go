package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/cmd/safebox/internal/throwaway"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/ledger"
)

// verification is what came of a backup that was restored.
type verification struct {
	OK       bool                   `json:"ok"`
	Backup   storage.BackupInfo     `json:"backup"`
	Restored float64                `json:"restored_seconds"` // what the restore took
	Guards   []migrations.Violation `json:"guards"`           // values that break a guard
	Check    migrations.CheckReport `json:"check"`
	Audit    *ledger.Audit          `json:"audit"`    // null where the revision has no ledger yet, or not that of this build
	Recorded bool                   `json:"recorded"` // DATABASE knows this backup, and now that it is good
}

func (a *app) backupVerify() *cobra.Command {
	var unchecked bool
	c := a.printing(&cobra.Command{
		Use: "verify FILE", Short: "Restore a backup into a throw-away database, and look whether it is good",
		Long: "verify holds the file against FILE.sha256, restores it beside DATABASE, runs the guards, `migrate check` and the audit\n" +
			"there, and drops it again. On PostgreSQL that takes a role with CREATEDB. It exits 65 when something is not as it should\n" +
			"be; when it is, the database keeps when that was, for `safebox status` and the metrics.",
		Args: exactly("a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			info, err := readBackup(args[0], unchecked, a.conf.Database.Dialect)
			if err != nil {
				return err
			}
			v, err := a.verify(cmd.Context(), info)
			if err != nil {
				return err
			}
			if v.OK {
				v.Recorded = a.noteVerified(cmd.Context(), info)
			}
			if err := a.print(v, func() error { return a.printVerification(v) }); err != nil {
				return err
			}
			if !v.OK {
				return &failure{
					Code: exitData, Err: fmt.Errorf("the backup %s is not good", info.Path),
					Todo: "keep it and the one before; if DATABASE has the same faults, mend them there and take another",
				}
			}
			return nil
		},
	})
	uncheckedFlag(c, &unchecked)
	return c
}

func (a *app) verify(ctx context.Context, info storage.BackupInfo) (v verification, err error) {
	on := a.conf.Database
	if a.conf.Direct.Dialect != "" {
		on = a.conf.Direct // a pooler may not know databases that come and go
	}
	scratch, remove, err := throwaway.Database(ctx, on, "verify")
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, remove(context.WithoutCancel(ctx))) }()
	v.Backup = info
	o := a.options("verify")
	o.URL, o.Direct, o.Logger = scratch, storage.URL{}, a.quiet()
	err = a.with(ctx, o, func(ctx context.Context, db storage.DB) error {
		began := time.Now()
		if err := a.restore(ctx, db, info); err != nil {
			return err
		}
		v.Restored = time.Since(began).Seconds()
		return v.examine(ctx, a.err, db)
	})
	return v, err
}

// examine looks at the restored database, and says on out what it is at. Revisions that are still to come are no fault of a backup.
func (v *verification) examine(ctx context.Context, out io.Writer, db storage.DB) error {
	err := db.Inspect(ctx, func(ctx context.Context, conn *sql.DB) (err error) {
		if v.Check, err = migrations.Check(ctx, conn, migrations.CheckOptions{Dialect: db.Dialect(), AllowHarmless: true}); err != nil {
			return err
		}
		v.Guards, err = migrations.Guard(ctx, conn, db.Dialect())
		return err
	})
	if err != nil {
		return err
	}
	v.Guards = list(v.Guards)
	v.OK = len(v.Guards) == 0 && v.Check.Problem == "" && !v.Check.Drifted()
	if !v.Check.Head {
		return nil
	}
	audit, err := auditTelling(ctx, out, db)
	if err != nil {
		return err
	}
	audit.Findings = list(audit.Findings)
	v.Audit, v.OK = &audit, v.OK && audit.OK
	return nil
}

// noteVerified tells DATABASE that one of its backups is good, where it can be told.
func (a *app) noteVerified(ctx context.Context, info storage.BackupInfo) (recorded bool) {
	o := a.options("verify")
	o.MustExist, o.Logger = true, a.quiet()
	err := a.with(ctx, o, func(ctx context.Context, db storage.DB) (err error) {
		recorded, err = db.NoteVerified(ctx, info.SHA256)
		return err
	})
	if err != nil {
		a.log.Warn("the backup is good, but the database could not take that down", "error", err)
	}
	return recorded
}

func (a *app) printVerification(v verification) error {
	if len(v.Guards) > 0 {
		if err := a.printGuard(v.Guards); err != nil {
			return err
		}
	}
	if len(v.Check.Differences) > 0 {
		if err := a.printCheck(v.Check); err != nil {
			return err
		}
	}
	good := map[bool]string{true: "good", false: "not good"}
	t := terminal.NewTable(a.out, "backup", v.Backup.Path)
	t.Row("sha256", v.Backup.SHA256)
	t.Row("restored", fmt.Sprintf("%s bytes in %.1f s", terminal.Count(v.Backup.Bytes), v.Restored))
	t.Row("revision", cmp.Or(v.Check.Revision, base))
	t.Row("guards", good[len(v.Guards) == 0])
	t.Row("tables", good[v.Check.Problem == "" && !v.Check.Drifted()])
	if v.Check.Problem != "" {
		t.Row("", v.Check.Problem)
	}
	if v.Audit == nil {
		t.Row("audit", "none: the ledger of this build begins at "+spelt(migrations.Latest()))
	} else {
		t.Row("audit", verdict(*v.Audit))
	}
	t.Row("recorded", map[bool]string{true: "yes", false: "no: DATABASE has no record of this backup"}[v.Recorded])
	if err := t.Flush(); err != nil || v.Audit == nil || v.Audit.OK {
		return err
	}
	if err := a.printf(""); err != nil {
		return err
	}
	return a.printAudit(*v.Audit)
}
