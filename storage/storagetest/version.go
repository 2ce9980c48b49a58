package storagetest

import (
	"context"
	"database/sql"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
)

var versionTests = []conformanceTest{
	{"alembic_version is read as it is, and its absence is no error", readsAlembicVersion},
}

func readsAlembicVersion(t *testing.T, f fixture) {
	expect := func(want []string) {
		t.Helper()
		got, err := f.db.AlembicVersion(Context(t))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	expect([]string{migrations.LatestAlembic})
	alter(t, f.db, "INSERT INTO alembic_version (version_num) VALUES ('20000101_0001')")
	expect([]string{"20000101_0001", migrations.LatestAlembic})
	alter(t, f.db, "DELETE FROM alembic_version")
	expect(nil)
	alter(t, f.db, "DROP TABLE alembic_version")
	expect(nil)
}

// alter runs a statement on the connection that holds the initialisation lock, as a migration would.
func alter(t *testing.T, db storage.DB, statement string) {
	t.Helper()
	o := lockOptions(db.Dialect())
	o.Force = true
	_, err := db.Initialise(Context(t), o, func(ctx context.Context, conn *sql.DB) error {
		_, err := conn.ExecContext(ctx, statement)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
