package storagetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/migrations"
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
	damage(t, f.db, "INSERT INTO alembic_version (version_num) VALUES ('20000101_0001')")
	expect([]string{"20000101_0001", migrations.LatestAlembic})
	damage(t, f.db, "DELETE FROM alembic_version")
	expect(nil)
	damage(t, f.db, "DROP TABLE alembic_version")
	expect(nil)
}
