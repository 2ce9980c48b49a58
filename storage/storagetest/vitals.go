package storagetest

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"

	"github.com/safebox/safebox/storage"
)

var vitalsTests = []conformanceTest{
	{"a database tells its version, its size and what the role may do", tellsVitals},
	{"an empty database does, too", tellsVitalsOfNothing},
}

func vitals(t *testing.T, db storage.DB) storage.Vitals {
	t.Helper()
	v, err := db.Vitals(Context(t))
	if err != nil {
		t.Fatal(err)
	}
	server := map[storage.Dialect]string{storage.PostgreSQL: "PostgreSQL ", storage.SQLite: "SQLite 3."}[db.Dialect()]
	if !strings.HasPrefix(v.Server, server) || v.Bytes < 4096 && db.Dialect() == storage.PostgreSQL {
		t.Errorf("%+v", v)
	}
	return v
}

func tellsVitals(t *testing.T, f fixture) {
	v := vitals(t, f.db)
	if f.db.Dialect() == storage.SQLite {
		if s := v.SQLite; s.Path == "" || s.Free == 0 || s.Total < s.Free || s.Network || v.Bytes < 4096 {
			t.Errorf("%+v", v)
		}
		return
	}
	s := v.PostgreSQL
	if len(s.Lacking)+len(s.NotOwned)+len(s.Invalid)+len(s.Prepared) > 0 || !s.MayCreate || s.Schema != "public" || s.Number("max_connections") < 10 {
		t.Errorf("%+v", s)
	}
	// A table that a revision adds must be among those whose rights are looked at.
	var there []string
	err := f.db.Inspect(Context(t), func(ctx context.Context, db *sql.DB) error {
		rows, err := db.QueryContext(ctx, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			there = append(there, name)
		}
		return rows.Err()
	})
	slices.Sort(there)
	slices.Sort(s.Tables)
	if err != nil || !slices.Equal(there, s.Tables) {
		t.Errorf("there are the tables %q, and looked at are %q, %v", there, s.Tables, err)
	}
}

func tellsVitalsOfNothing(t *testing.T, f fixture) {
	v := vitals(t, Open(t, f.empty(t)))
	if len(v.PostgreSQL.Tables) > 0 {
		t.Errorf("%+v", v)
	}
}
