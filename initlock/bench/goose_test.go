package bench

import (
	"context"
	"database/sql"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing/fstest"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// gooseOutdated is the version of goose's copy of revision 20260416_0003.
const gooseOutdated = 3

// startGoose is what a program that uses goose does when it starts: up, under the session lock with its defaults.
func startGoose(ctx context.Context, url string) (led bool, open io.Closer, err error) {
	p, db, err := gooseProvider(url)
	if err != nil {
		return false, nil, err
	}
	applied, err := p.Up(ctx)
	return len(applied) > 0, db, err
}

func gooseUpTo(ctx context.Context, url string, version int64) error {
	p, db, err := gooseProvider(url)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = p.UpTo(ctx, version)
	return err
}

func gooseProvider(url string) (*goose.Provider, *sql.DB, error) {
	files, err := gooseFiles()
	if err != nil {
		return nil, nil, err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, nil, err
	}
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, nil, err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	return p, db, err
}

// annotated says in goose's words what sql-migrate's say.
var annotated = strings.NewReplacer(
	"-- +migrate Up notransaction", "-- +goose NO TRANSACTION\n-- +goose Up",
	"-- +migrate Down notransaction", "-- +goose Down",
	"-- +migrate ", "-- +goose ",
)

// gooseFiles are the project's own migrations, with goose's annotations and file names.
func gooseFiles() (fs.FS, error) {
	const folder = "../../migrations/postgresql"
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	files := fstest.MapFS{}
	for _, e := range entries {
		b, err := os.ReadFile(folder + "/" + e.Name())
		if err != nil {
			return nil, err
		}
		_, rest, _ := strings.Cut(e.Name(), "_") // 20260220_0001_baseline.sql becomes 0001_baseline.sql
		files[rest] = &fstest.MapFile{Data: []byte(annotated.Replace(string(b)))}
	}
	return files, nil
}
