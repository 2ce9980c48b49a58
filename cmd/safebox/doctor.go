package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/doctor"
	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/storage"
)

// doctorPatience is how long a doctor waits for a server: someone looks on.
const doctorPatience = 5 * time.Second

// diagnosis is what the doctor says.
type diagnosis struct {
	OK       bool          `json:"ok"`       // nothing fails
	Database string        `json:"database"` // without the password
	Failures int           `json:"failures"`
	Warnings int           `json:"warnings"`
	Lines    []doctor.Line `json:"lines"`
}

func (a *app) doctorCommand() *cobra.Command {
	var strict bool
	c := a.printing(&cobra.Command{
		Use: "doctor", Short: "Examine the configuration and the database, and say what to do about what is wrong",
		Long: "doctor reads, and creates and changes nothing. It works on a database that is down, empty, of Alembic's or of a newer\n" +
			"build's making. It exits 69 where the database cannot be reached, 78 where a setting, here or on the server, is wrong, 65\n" +
			"where the data are; a warning fails with --strict only.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := a.examine(cmd.Context())
			if err := a.print(d, func() error { return a.printDiagnosis(d) }); err != nil {
				return err
			}
			if code := doctor.ExitCode(d.Lines, strict); code != 0 {
				return &failure{Code: code, Err: fmt.Errorf("%s and %s: the lines above say what to do",
					terminal.Plural(d.Failures, "failure"), terminal.Plural(d.Warnings, "warning"))}
			}
			return nil
		},
	})
	c.Flags().BoolVar(&strict, "strict", false, "let warnings fail as well")
	return c
}

// examine looks at the settings first, which needs no database, and then at the database as far as it lets itself be looked at.
func (a *app) examine(ctx context.Context) diagnosis {
	d := diagnosis{Database: a.conf.Database.String()}
	d.Lines = append(d.Lines, doctor.Address(a.conf.HTTPAddr, a.conf.IngestToken), doctor.Tokens(a.conf.IngestToken, a.conf.AdminToken))
	p, err := a.prepare(nil)
	if err != nil {
		d.Lines = append(d.Lines, wrong("seed", err))
	} else {
		d.Lines = append(d.Lines, doctor.Fine("seed", "the currencies' file can be read"))
	}
	o := a.options("doctor")
	o.MustExist, o.Logger = true, slog.New(slog.DiscardHandler)
	o.Policy.Timeout = min(o.Policy.Timeout, doctorPatience)
	err = a.with(ctx, o, func(ctx context.Context, db storage.DB) error {
		d.Lines = append(d.Lines, a.examineDatabase(ctx, db, p.lock.Digest)...)
		return nil
	})
	if err != nil {
		d.Lines = append(d.Lines, wrong("reachable", err))
	}
	d.Failures, d.Warnings = doctor.Count(d.Lines, doctor.Failure), doctor.Count(d.Lines, doctor.Warning)
	d.OK = d.Failures == 0
	return d
}

// wrong is a line about an error, of the kind that its exit code names. What is none of the doctor's kinds is for somebody to
// try again: the database does not answer as it should.
func wrong(check string, err error) doctor.Line {
	kind := exitCode(err)
	if kind != doctor.Data && kind != doctor.Config {
		kind = doctor.Unavailable
	}
	return doctor.Wrong(check, doctor.Failure, kind, strings.TrimSpace(err.Error()), advice(err))
}

func (a *app) printDiagnosis(d diagnosis) error {
	bold := terminal.Bold(a.out)
	width := 0
	for _, l := range d.Lines {
		width = max(width, len(l.Check))
	}
	if err := a.printf("%s\n", d.Database); err != nil {
		return err
	}
	for _, l := range d.Lines {
		level := fmt.Sprintf("%-7s", l.Level)
		if l.Level != doctor.OK {
			level = bold(level)
		}
		if err := a.printf("%s  %-*s  %s", level, width, l.Check, terminal.Line(l.Found)); err != nil {
			return err
		}
		if l.Do == "" {
			continue
		}
		if err := a.printf("%*s  → %s", 7+2+width, "", terminal.Line(l.Do)); err != nil {
			return err
		}
	}
	return a.printf("\n%s, %s.", terminal.Plural(d.Failures, "failure"), terminal.Plural(d.Warnings, "warning"))
}
