package storagetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/event"
)

var backupTests = []conformanceTest{
	{"a backup restored is the database", backsUpEverything},
	{"a backup taken while others write is one moment of the database", backsUpOneMoment},
	{"a backup replaces nothing", replacesNothing},
	{"a backup that cannot be written is refused beforehand, and one that fails leaves nothing", leavesNothing},
	{"a backup is restored whole into an empty database, and into no other", restoresIntoAnEmptyDatabase},
	{"a file that is not the backup that was taken is told from it", tellsDamage},
	{"when the last backup was taken, and found good, is on record", recordsBackups},
}

// Restore makes a database of a backup, as an operator would, and returns its URL.
func Restore(tb testing.TB, b storage.BackupInfo, empty func(testing.TB) string) string {
	tb.Helper()
	if b.Format == storage.BackupDatabase {
		return "sqlite:///" + b.Path
	}
	url := empty(tb)
	restore := exec.Command(dbtest.Program(tb, "pg_restore"), "--exit-on-error", "--no-owner", "--dbname="+url, b.Path)
	if out, err := restore.CombinedOutput(); err != nil {
		tb.Fatalf("pg_restore: %v\n%s", err, out)
	}
	return url
}

func mustBackUp(t *testing.T, db storage.DB, path string) storage.BackupInfo {
	t.Helper()
	if err := db.CheckBackup(Context(t), path); err != nil {
		t.Fatal(err)
	}
	b, err := db.Backup(Context(t), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// contents is the catalogue and every row.
func contents(t *testing.T, db storage.DB) map[string][]string {
	t.Helper()
	tables, catalogue := "SELECT tablename FROM pg_tables WHERE schemaname = 'public'", []string{
		`SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
			WHERE table_schema = 'public' ORDER BY table_name, ordinal_position`,
		"SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexdef",
		"SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
		"SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1",
	}
	if db.Dialect() == storage.SQLite {
		tables = "SELECT name FROM sqlite_schema WHERE type = 'table'"
		catalogue = []string{"SELECT type, name, sql FROM sqlite_schema ORDER BY name"}
	}
	all := map[string][]string{}
	for _, query := range catalogue {
		all[query] = rows(t, db, query)
	}
	for _, table := range rows(t, db, tables) {
		all[table] = rows(t, db, "SELECT * FROM "+table)
		slices.Sort(all[table])
	}
	return all
}

func backsUpEverything(t *testing.T, f fixture) {
	alice, bob := person(1), person(2)
	mustAppend(t, f.db, everything(alice, bob)...)
	drain(t, f.db)
	b := mustBackUp(t, f.db, filepath.Join(t.TempDir(), "wallets.backup"))
	info, err := os.Stat(b.Path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 || info.Size() != b.Bytes || b.Bytes == 0 || b.Took <= 0 {
		t.Errorf("%s %d bytes, told as %+v", info.Mode(), info.Size(), b)
	}
	want := contents(t, f.db)
	restored := Open(t, Restore(t, b, f.empty))
	if diff := cmp.Diff(want, contents(t, restored)); diff != "" {
		t.Errorf("(-database +restored):\n%s", diff)
	}
	wantSound(t, restored)
}

func backsUpOneMoment(t *testing.T, f fixture) {
	alice := person(1)
	mustAppend(t, f.db, registration("r", alice, "alice"))
	writing, stop := context.WithCancel(Context(t))
	defer stop()
	begun, wrote := make(chan struct{}), make(chan error, 1)
	go func() {
		wrote <- func() error {
			for i := 0; writing.Err() == nil; i++ {
				e := credit(fmt.Sprint(i), alice, 1)
				if _, err := f.db.Append(context.WithoutCancel(writing), topic, []event.Event{e}); err != nil {
					return err
				}
				if i == 0 {
					close(begun)
				}
			}
			return nil
		}()
	}()
	<-begun
	b := mustBackUp(t, f.db, filepath.Join(t.TempDir(), "wallets.backup"))
	stop()
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	restored := Open(t, f.empty(t))
	if err := restored.Restore(Context(t), b, nil); err != nil {
		t.Fatal(err)
	}
	drain(t, restored)
	wantSound(t, restored)
	// Positions are dense within a partition: a hole would be an event that the copy lost.
	wantRows(t, restored, "SELECT partition FROM event_log GROUP BY partition HAVING count(*) <> max(position)")
	if n := rows(t, restored, "SELECT count(*) FROM event_log")[0]; n == "0" || n == "1" {
		t.Errorf("%s events, and at least the registration and one credit were there before", n)
	}
}

func replacesNothing(t *testing.T, f fixture) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("the only copy"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := f.db.Backup(Context(t), path, nil)
	for what, err := range map[string]error{"Backup": err, "CheckBackup": f.db.CheckBackup(Context(t), path)} {
		if !errors.Is(err, storage.ErrConfig) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if kept, err := os.ReadFile(path); err != nil || string(kept) != "the only copy" {
		t.Errorf("the file now has %q, %v", kept, err)
	}
	onlyIn(t, filepath.Dir(path), "precious")
}

func leavesNothing(t *testing.T, f fixture) {
	dir := t.TempDir()
	if err := f.db.CheckBackup(Context(t), filepath.Join(dir, "none", "x")); !errors.Is(err, storage.ErrConfig) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
	ended, end := context.WithCancel(Context(t))
	if err := f.db.CheckBackup(ended, filepath.Join(dir, "x")); err != nil {
		t.Error(err)
	}
	end()
	if _, err := f.db.Backup(ended, filepath.Join(dir, "x"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("told to stop: %v", err)
	}
	onlyIn(t, dir)
}

func restoresIntoAnEmptyDatabase(t *testing.T, f fixture) {
	mustAppend(t, f.db, everything(person(1), person(2))...)
	drain(t, f.db)
	b := mustBackUp(t, f.db, filepath.Join(t.TempDir(), "wallets.backup"))
	if read, err := storage.ReadBackup(b.Path, false); err != nil || read.SHA256 != b.SHA256 || read.Format != b.Format || read.Bytes != b.Bytes {
		t.Fatalf("%+v taken, read as %+v, %v", b, read, err)
	}
	want := contents(t, f.db)
	var full *storage.NotEmptyError
	if err := f.db.Restore(Context(t), b, nil); !errors.As(err, &full) || !errors.Is(err, storage.ErrConfig) || len(full.Tables) == 0 {
		t.Errorf("into the database itself: %v", err)
	}
	target := Open(t, f.empty(t))
	wrong := b
	wrong.Format = "another"
	if err := target.Restore(Context(t), wrong, nil); !errors.Is(err, storage.ErrConfig) {
		t.Errorf("a backup of another dialect: %v", err)
	}
	broken := b
	broken.Path = filepath.Join(t.TempDir(), "broken")
	content, err := os.ReadFile(b.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken.Path, content[:len(content)/3], 0o600); err != nil {
		t.Fatal(err)
	}
	var failed *storage.RestoreError
	if err := target.Restore(Context(t), broken, nil); !errors.As(err, &failed) {
		t.Errorf("a third of a backup: %v", err)
	}
	told := ""
	if err := target.Restore(Context(t), b, func(activity string) { told += activity + "\n" }); err != nil || !strings.Contains(told, "restoring") {
		t.Fatalf("after one that failed: %v, told %q", err, told)
	}
	if diff := cmp.Diff(want, contents(t, target)); diff != "" {
		t.Errorf("(-database +restored):\n%s", diff)
	}
	wantSound(t, target)
}

func tellsDamage(t *testing.T, f fixture) {
	b := mustBackUp(t, f.db, filepath.Join(t.TempDir(), "wallets.backup"))
	file, err := os.OpenFile(b.Path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte{0x5a}, b.Bytes-1); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	var corrupt *storage.CorruptError
	if _, err := storage.ReadBackup(b.Path, false); !errors.As(err, &corrupt) {
		t.Errorf("one byte changed: %v", err)
	}
	if err := os.Remove(storage.ChecksumFile(b.Path)); err != nil {
		t.Fatal(err)
	}
	if _, err := storage.ReadBackup(b.Path, false); !errors.As(err, &corrupt) {
		t.Errorf("without a checksum: %v", err)
	}
	if _, err := storage.ReadBackup(b.Path, true); err != nil {
		t.Errorf("unchecked: %v", err)
	}
	none := filepath.Join(t.TempDir(), "none")
	if _, err := storage.ReadBackup(none, true); !errors.Is(err, storage.ErrConfig) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(none, []byte("a letter"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := storage.ReadBackup(none, true); !errors.As(err, &corrupt) {
		t.Errorf("no backup at all: %v", err)
	}
}

func recordsBackups(t *testing.T, f fixture) {
	ctx := Context(t)
	last := func(wantTaken, wantVerified bool) {
		t.Helper()
		taken, verified, err := f.db.LastBackup(ctx)
		if err != nil || taken.IsZero() == wantTaken || verified.IsZero() == wantVerified || wantTaken && time.Since(taken).Abs() > patience {
			t.Errorf("taken %v, verified %v, %v", taken, verified, err)
		}
	}
	known := func(sum string, want bool) {
		t.Helper()
		if found, err := f.db.NoteVerified(ctx, sum); err != nil || found != want {
			t.Errorf("%s is known: %v, %v", sum, found, err)
		}
	}
	last(false, false)
	known("a", false)
	for _, sum := range []string{"a", "b", "a"} {
		if err := f.db.NoteBackup(ctx, storage.BackupInfo{SHA256: sum, Bytes: 1}); err != nil {
			t.Fatal(err)
		}
	}
	last(true, false)
	known("c", false)
	known("a", true)
	last(true, true)
}

func onlyIn(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("in the folder (-want +got):\n%s", diff)
	}
}
