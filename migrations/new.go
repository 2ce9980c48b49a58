package migrations

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/safebox/safebox/storage"
)

// layout is what a new revision says before anyone has written it.
const layout = `-- %[1]s for %[2]s. The rules:
-- - A file that was applied anywhere is never edited again: its checksum is kept, and a changed file is refused.
-- - The twin for the other dialect has the same name and makes the same tables.
-- - A revision runs in one transaction. One that cannot (it builds an index CONCURRENTLY, or fills a large table in
--   batches) says "notransaction" behind Up or Down; then each statement must be fit to be resumed after a death.
-- - A statement that has semicolons inside stands between StatementBegin and StatementEnd.
-- - No lock on a table for longer than two seconds: rows are filled in batches, indexes of large tables are built
--   CONCURRENTLY, constraints are added NOT VALID and validated later.
-- - Down undoes Up, so that up, down and up again end in the same catalogue; write the golden catalogues anew with
--   ` + "`go test ./migrations -run Golden -update`" + `.

-- +migrate Up

-- +migrate Down
`

var (
	nameGrammar = regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*$`)
	fileGrammar = regexp.MustCompile(`^([0-9]{8})_([0-9]{4})_[a-z0-9_]+\.sql$`)
)

// NewError is a revision that cannot be laid out. No file was written.
type NewError struct {
	Problem string // what is wrong, and where
	Do      string // what to do about it
}

func (e *NewError) Error() string { return e.Problem + "; no file was written. " + e.Do }

// ExitCode is 64: usage.
func (*NewError) ExitCode() int { return exitUsage }

// New lays out the next revision in a folder of migrations: one file a dialect, dir/postgresql and dir/sqlite, with the
// sections Up and Down and the rules. It returns the paths. The number continues that of the newest revision there, and
// the date is that of now in UTC, or the newest revision's where that is later: revisions sort by their names. It is a
// *NewError, and nothing is written, when the name is none, a folder is missing, or the dialects differ already.
func New(dir, name string, now time.Time) ([]string, error) {
	if !nameGrammar.MatchString(name) || len(name) > 60 {
		return nil, &NewError{
			fmt.Sprintf("%q is no name for a revision", name),
			"Use up to 60 lower-case letters, digits and single underscores, add_wallet_colour for one.",
		}
	}
	newest, err := newestIn(dir)
	if err != nil {
		return nil, err
	}
	date, number := now.UTC().Format("20060102"), 1
	if parts := fileGrammar.FindStringSubmatch(newest); parts != nil {
		date = max(date, parts[1])
		n, err := strconv.Atoi(parts[2])
		if err != nil {
			return nil, err
		}
		number = n + 1
	}
	if number > 9999 {
		return nil, &NewError{fmt.Sprintf("%s is the last revision that four digits can number", newest), "Squash the history into a new baseline."}
	}
	file := fmt.Sprintf("%s_%04d_%s.sql", date, number, name)
	var written []string
	for _, d := range dialects {
		path := filepath.Join(dir, string(d), file)
		if err := writeNew(path, fmt.Sprintf(layout, revisionOf(file), d)); err != nil {
			for _, w := range written {
				err = errors.Join(err, os.Remove(w))
			}
			return nil, err
		}
		written = append(written, path)
	}
	return written, nil
}

// newestIn is the newest file of the folder's dialects, which must have the same files; "" where there are none.
func newestIn(dir string) (string, error) {
	var first []string
	for i, d := range dialects {
		files, err := revisionsIn(filepath.Join(dir, string(d)))
		if err != nil {
			return "", err
		}
		if i == 0 {
			first = files
			continue
		}
		if !slices.Equal(first, files) {
			return "", &NewError{
				fmt.Sprintf("in %s the dialects have different revisions: %s has %s, %s has %s", dir,
					dialects[0], listOrNone(without(first, files)), d, listOrNone(without(files, first))),
				"Write the missing files first: every revision exists for both dialects.",
			}
		}
	}
	if len(first) == 0 {
		return "", nil
	}
	return first[len(first)-1], nil
}

// revisionsIn lists the files of a dialect's folder in order.
func revisionsIn(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NewError{
			fmt.Sprintf("there is no folder %s", folder),
			"Name the folder that holds the migrations: migrations in a checkout of the source.",
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list the revisions: %w", err)
	}
	var files []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".sql") {
			continue
		}
		if !fileGrammar.MatchString(e.Name()) {
			return nil, &NewError{
				fmt.Sprintf("%s is not named <date>_<number>_<name>.sql", filepath.Join(folder, e.Name())),
				"Rename it, or move it out of the folder.",
			}
		}
		files = append(files, e.Name())
	}
	return files, nil
}

// writeNew writes a file that is not there yet.
func writeNew(path, content string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write the revision: %w", err)
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the revision: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

// without lists what is in all and not in others.
func without(all, others []string) []string {
	var rest []string
	for _, s := range all {
		if !slices.Contains(others, s) {
			rest = append(rest, s)
		}
	}
	return rest
}

func listOrNone(all []string) string {
	if len(all) == 0 {
		return "no others"
	}
	return strings.Join(all, ", ")
}

var dialects = []storage.Dialect{storage.PostgreSQL, storage.SQLite}
