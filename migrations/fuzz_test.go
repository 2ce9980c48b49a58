package migrations

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/safebox/safebox/storage"
)

// A file of migrations is read or refused, whatever is in it, and its statements are those of the file.
func FuzzMigrationFile(f *testing.F) {
	for _, d := range []storage.Dialect{storage.PostgreSQL, storage.SQLite} {
		names, err := fs.Glob(embedded, string(d)+"/*.sql")
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			content, err := fs.ReadFile(embedded, name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content)
		}
	}
	for _, text := range []string{
		"-- +migrate Up\nSELECT ';';\n-- +migrate Down\nSELECT 1;\n", "-- +migrate Up notransaction\nVACUUM;\n", "-- +migrate Up\nSELECT 1",
		"-- +migrate StatementBegin\n", "-- +migrate Up\n-- +migrate StatementBegin\nSELECT 1;\nSELECT 2;\n-- +migrate StatementEnd\n", "",
		"-- +migrate Up\nCREATE INDEX CONCURRENTLY a ON b (c);\n", "-- +migrate Up\nSELECT $$;$$;\n", "-- +migrate Up\n\x00;\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, d := range []storage.Dialect{storage.PostgreSQL, storage.SQLite} {
			s, err := load(fstest.MapFS{string(d) + "/20260101_0001_fuzz.sql": {Data: content}}, d)
			if err != nil {
				continue
			}
			for _, up := range []bool{true, false} {
				for _, st := range s.statements(0, up, time.Unix(0, 0)) {
					bare(st.SQL)
				}
				for _, st := range s.own(0, up) {
					for line := range strings.Lines(st.SQL) {
						if line = strings.TrimSpace(line); !strings.Contains(string(content), line) {
							t.Fatalf("the statement %q is not in the file", st.SQL)
						}
					}
				}
			}
		}
	})
}
