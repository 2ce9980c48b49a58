package migrations

import (
	"fmt"
	"strings"
	"text/tabwriter"
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

// DifferenceTable is differences as a table for people, a line each below the names of its columns.
func DifferenceTable(differences []Difference) string {
	rows := [][]string{{"TABLE", "OBJECT", "EXPECTED", "FOUND", "VERDICT"}}
	for _, d := range differences {
		object := d.Object
		if object == "" {
			object = "-"
		}
		rows = append(rows, []string{d.Table, object, d.Expected, d.Found, fmt.Sprintf("%s: %s", d.Verdict, d.Why)})
	}
	return aligned(rows)
}

// aligned sets rows in columns, each line indented by two blanks.
func aligned(rows [][]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintf(w, "  %s\n", strings.Join(row, "\t"))
	}
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// MismatchError says that the database is not what its revision makes: the catalogue differs. Nothing was changed.
type MismatchError struct {
	Revision    string
	Source      string // who says that the database is at Revision: alembic_version or gorp_migrations
	Differences []Difference
	Best        string // the revision that the catalogue fits better; "" for none
}

func (e *MismatchError) headline() string {
	return fmt.Sprintf("%s says revision %s, but the database differs from it in %s",
		e.Source, e.Revision, count(len(e.Differences), "place", "places"))
}

func (e *MismatchError) do() string {
	switch {
	case e.Best != "":
		return fmt.Sprintf("The tables are those of %s: run `safebox migrate stamp %s` if that is right, then start again.", e.Best, e.Best)
	case worst(e.Differences) == Missing:
		return fmt.Sprintf("What is missing can be made: run `safebox migrate stamp --repair %s`, which shows it first with --sql, then start again.", e.Revision)
	}
	return fmt.Sprintf("What contradicts cannot be repaired from here: make those tables what revision %s says, or restore a backup, then start again.", e.Revision)
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s; nothing was changed:\n%s\n%s", e.headline(), DifferenceTable(e.Differences), e.do())
}

// ExitCode is 65: bad data.
func (*MismatchError) ExitCode() int { return exitData }

// BesideError says that Alembic went back below revisions which it does not know and whose tables are still there.
// Nothing was changed.
type BesideError struct {
	Stated      string // the revision that alembic_version names; "" for base
	Recorded    string // the one that gorp_migrations records
	Differences []Difference
}

func (e *BesideError) headline() string {
	return fmt.Sprintf("Alembic went back to %s beside this program, below %s, which Alembic does not know and which %s records as applied: "+
		"what Alembic dropped is gone, and the rest of %s is still there", orBase(e.Stated), e.Recorded, recordsTable, e.Recorded)
}

func (e *BesideError) do() string {
	if worst(e.Differences) == Missing {
		return fmt.Sprintf("Run `safebox migrate stamp --repair %s`, which makes what is gone again, empty, and shows it first with --sql. "+
			"To have the rows again, restore a backup.", e.Recorded)
	}
	return fmt.Sprintf("Run `alembic upgrade %s`, which makes its tables again, empty; then `safebox migrate check` tells what is still amiss. "+
		"To have the rows again, restore a backup.", LatestAlembic)
}

func (e *BesideError) Error() string {
	return fmt.Sprintf("%s; nothing was changed:\n%s\n%s", e.headline(), DifferenceTable(e.Differences), e.do())
}

// ExitCode is 65: bad data.
func (*BesideError) ExitCode() int { return exitData }

// UnstampedError says that tables of Safebox are there, but nothing tells their revision. Nothing was changed.
type UnstampedError struct {
	Best        string       // the revision that the catalogue matches best
	Differences []Difference // from that revision; none: it matches exactly
}

func (e *UnstampedError) headline() string {
	return "the database has tables of Safebox, but no alembic_version or gorp_migrations names their revision"
}

func (e *UnstampedError) do() string {
	switch worst(e.Differences) {
	case "":
		return fmt.Sprintf("They are exactly those of revision %s: run `safebox migrate stamp %s`, then start again.", e.Best, e.Best)
	case Harmless:
		return fmt.Sprintf("None of that matters: run `safebox migrate stamp %s`, then start again.", e.Best)
	case Missing:
		return fmt.Sprintf("What is missing can be made: run `safebox migrate stamp --repair %s`, which shows it first with --sql, then start again.", e.Best)
	}
	return fmt.Sprintf("What contradicts cannot be repaired from here: make those tables what revision %s says, run `safebox migrate stamp %s`, then start again.",
		e.Best, e.Best)
}

func (e *UnstampedError) Error() string {
	head := e.headline() + "; nothing was changed. "
	if len(e.Differences) == 0 {
		return head + e.do()
	}
	return fmt.Sprintf("%sThe best match is revision %s, with %s:\n%s\n%s", head, e.Best,
		count(len(e.Differences), "difference", "differences"), DifferenceTable(e.Differences), e.do())
}

// ExitCode is 65: bad data.
func (*UnstampedError) ExitCode() int { return exitData }

// StampError says that the catalogue is not that of the revision to be stamped. Nothing was changed.
type StampError struct {
	Target      string       // "" for base
	Differences []Difference // of the catalogue from the target
	Best        string       // the revision that the catalogue fits better, or base; "" for none
	BestWorst   Verdict      // of the differences from Best; "" where it fits exactly
}

func (e *StampError) Error() string {
	var do string
	switch {
	case e.Best == "base":
		do = fmt.Sprintf("The database has no tables of Safebox: `safebox migrate upgrade %s` makes them.", e.Target)
	case e.Best != "" && e.BestWorst == Missing:
		do = fmt.Sprintf("The tables fit %s, where something is missing that can be made: run `safebox migrate stamp --repair %s`, which shows it first with --sql.",
			e.Best, e.Best)
	case e.Best != "" && e.BestWorst == Contradicts:
		do = fmt.Sprintf("No revision fits; %s comes closest: `safebox migrate stamp %s` tells what is in the way.", e.Best, e.Best)
	case e.Best != "":
		do = fmt.Sprintf("The tables are those of %s: run `safebox migrate stamp %s`.", e.Best, e.Best)
	case worst(e.Differences) == Missing:
		do = fmt.Sprintf("What is missing can be made: run `safebox migrate stamp --repair %s`, which shows it first with --sql.", e.Target)
	default:
		do = "What contradicts cannot be repaired from here: make those tables what the revision says, then stamp it."
	}
	return fmt.Sprintf("the tables are not those of %s; nothing was changed:\n%s\n%s", orBase(e.Target), DifferenceTable(e.Differences), do)
}

// ExitCode is 65: bad data.
func (*StampError) ExitCode() int { return exitData }

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

// StepError is a migration whose statements failed. Its transaction was rolled back; of a migration that runs step by step
// that is the step's.
type StepError struct {
	Revision string
	Step, Of int // which step failed, of how many; 0 for a migration in one transaction
	Err      error
}

func (e *StepError) Error() string {
	if e.Of > 0 {
		return fmt.Sprintf("migration %s failed at step %d of %d, and the steps before it are kept: the next start goes on there: %v",
			e.Revision, e.Step, e.Of, e.Err)
	}
	return fmt.Sprintf("migration %s failed and was rolled back: %v", e.Revision, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// LossError says that a downgrade would take data away, and that nobody said that it may. Nothing was changed.
type LossError struct {
	From, To string // revisions; To is "" for base
	Losses   []Loss
}

func (e *LossError) Error() string {
	rows := [][]string{{"TABLE", "COLUMN", "WOULD BE LOST"}}
	do := "Take a backup (--backup FILE does), then say --yes to go on without them."
	for _, l := range e.Losses {
		column := l.Column
		if column == "" {
			column = "-"
		}
		rows = append(rows, []string{l.Table, column, l.amount()})
		if l.What == atWork {
			do = "Stop the workers. " + do
		}
	}
	return fmt.Sprintf("the downgrade from %s to %s would lose data; nothing was changed:\n%s\n%s", e.From, orBase(e.To), aligned(rows), do)
}

// ExitCode is 65: bad data.
func (*LossError) ExitCode() int { return exitData }

// RangeError says that values do not fit the narrower columns of the revision to go down to. Nothing was changed.
type RangeError struct {
	To        string // the revision; "" for base
	Overflows []Overflow
}

func (e *RangeError) Error() string {
	rows := [][]string{{"TABLE", "COLUMN", "ROWS", "CAN HOLD THERE"}}
	for _, o := range e.Overflows {
		rows = append(rows, []string{o.Table, o.Column, fmt.Sprint(o.Rows), fmt.Sprintf("%s: %d to %d", o.Type, o.Least, o.Most)})
	}
	return fmt.Sprintf("values are too large for the columns of %s; nothing was changed:\n%s\nBring those values into the range first, or stay above that revision; "+
		"--yes does not help, since no value is cut off.", orBase(e.To), aligned(rows))
}

// ExitCode is 65: bad data.
func (*RangeError) ExitCode() int { return exitData }

// DuplicatesError says that rows share values which a repair would have to make unique. Nothing was changed.
type DuplicatesError struct {
	Duplicates []Duplicate
}

func (e *DuplicatesError) Error() string {
	rows := [][]string{{"TABLE", "COLUMNS", "ROWS THAT SHARE VALUES"}}
	for _, d := range e.Duplicates {
		rows = append(rows, []string{d.Table, strings.Join(d.Columns, ", "), d.rows()})
	}
	return fmt.Sprintf("rows share values that the revision keeps unique, so the repair cannot be made; nothing was changed:\n%s\n"+
		"Give all but one row of each group another value, or delete them, then repair again.", aligned(rows))
}

// ExitCode is 65: bad data.
func (*DuplicatesError) ExitCode() int { return exitData }

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
