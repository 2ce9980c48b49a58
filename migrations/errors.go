package migrations

import (
	"fmt"
	"strings"
)

// The exit codes of sysexits that errors of this package carry.
const (
	exitUsage  = 64
	exitData   = 65
	exitConfig = 78
)

// PlanError is a database in a state that the planner refuses to work on. Nothing was changed.
type PlanError struct {
	Problem string // what is wrong, and where
	Do      string // what to do about it
}

func (e *PlanError) Error() string { return e.Problem + "; nothing was changed. " + e.Do }

// ExitCode is 65: bad data.
func (*PlanError) ExitCode() int { return exitData }

// MismatchError says that the database is not what its revision makes: the catalogue differs. Nothing was changed.
type MismatchError struct {
	Revision    string
	Source      string // who says that the database is at Revision: alembic_version or gorp_migrations
	Differences []Difference
}

func (e *MismatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s says revision %s, but the database differs from it in %s; nothing was changed:",
		e.Source, e.Revision, count(len(e.Differences), "place", "places"))
	for _, d := range e.Differences {
		b.WriteString("\n  " + d.String())
	}
	b.WriteString("\nMake the tables what the revision says, or correct the recorded revision, then start again.")
	return b.String()
}

// ExitCode is 65: bad data.
func (*MismatchError) ExitCode() int { return exitData }

// UnstampedError says that tables of Safebox are there, but nothing tells their revision. Nothing was changed.
type UnstampedError struct {
	Best        string       // the revision that the catalogue matches best
	Differences []Difference // from that revision; none: it matches exactly
}

func (e *UnstampedError) Error() string {
	var b strings.Builder
	b.WriteString("the database has tables of Safebox, but no alembic_version or gorp_migrations names their revision; nothing was changed. ")
	if len(e.Differences) == 0 {
		fmt.Fprintf(&b, "They are exactly those of revision %s: run `safebox migrate stamp %s`, then start again.", e.Best, e.Best)
		return b.String()
	}
	fmt.Fprintf(&b, "The best match is revision %s, with %s:", e.Best, count(len(e.Differences), "difference", "differences"))
	for _, d := range e.Differences {
		b.WriteString("\n  " + d.String())
	}
	fmt.Fprintf(&b, "\nRemove the differences, run `safebox migrate stamp %s`, then start again.", e.Best)
	return b.String()
}

// ExitCode is 65: bad data.
func (*UnstampedError) ExitCode() int { return exitData }

// TargetError is a target that names no revision to which the command goes.
type TargetError struct {
	Command Command
	Target  string
	Problem string
	Known   []string // revisions one may name
}

func (e *TargetError) Error() string {
	to, names := " to", "head, +n"
	switch e.Command {
	case CommandUpgrade:
	case CommandDowngrade:
		names = "base, -n"
	case CommandStamp:
		to, names = "", "head, base"
	default:
		to, names = "", "head"
	}
	return fmt.Sprintf("cannot %s%s %q: %s; name %s or one of %s", e.Command, to, e.Target, e.Problem, names, strings.Join(e.Known, ", "))
}

// ExitCode is 64: usage.
func (*TargetError) ExitCode() int { return exitUsage }

// StepError is a migration whose statements failed. Its transaction was rolled back.
type StepError struct {
	Revision string
	Err      error
}

func (e *StepError) Error() string {
	return fmt.Sprintf("migration %s failed and was rolled back: %v", e.Revision, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// SupportedError says that currencies which must be supported are neither in the database nor in the seed.
type SupportedError struct {
	Missing []string
	Seed    string // the file, or "built in"
}

func (e *SupportedError) Error() string {
	return fmt.Sprintf("supported currencies are missing: %s: neither the table currencyrate nor the seed (%s) has them; "+
		"add them to the file that CURRENCY_CSV names or take them out of SUPPORTED_CURRENCIES",
		strings.Join(e.Missing, ", "), e.Seed)
}

// ExitCode is 78: configuration.
func (*SupportedError) ExitCode() int { return exitConfig }

// count gives a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
