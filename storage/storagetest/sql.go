package storagetest

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
)

// damage runs statements on the database behind the backend's back, on the connection that initialisation gives.
func damage(t *testing.T, db storage.DB, statements ...string) {
	t.Helper()
	o := lockOptions(db.Dialect())
	o.Force = true
	_, err := db.Initialise(Context(t), o, func(ctx context.Context, conn *sql.DB) error {
		for _, s := range statements {
			if _, err := conn.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rows reads a query through Inspect, each row as a line of text; null shows as nothing.
func rows(t *testing.T, db storage.DB, query string) []string {
	t.Helper()
	lines := []string{}
	err := db.Inspect(Context(t), func(ctx context.Context, conn *sql.DB) error {
		found, err := conn.QueryContext(ctx, query)
		if err != nil {
			return err
		}
		defer found.Close()
		names, err := found.Columns()
		if err != nil {
			return err
		}
		values, into := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		for found.Next() {
			if err := found.Scan(into...); err != nil {
				return err
			}
			parts := make([]string, len(values))
			for i, v := range values {
				parts[i] = v.String
			}
			lines = append(lines, strings.Join(parts, " | "))
		}
		return found.Err()
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return lines
}

// wantRows compares what a query reads with lines of text.
func wantRows(t *testing.T, db storage.DB, query string, want ...string) {
	t.Helper()
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, rows(t, db, query)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", query, diff)
	}
}

// wantSound asks for an audit, and a rebuild, that find nothing.
func wantSound(t *testing.T, db storage.DB) {
	t.Helper()
	a, err := db.Rebuild(Context(t), topic, group, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	if !a.OK {
		t.Errorf("the audit finds %+v", a.Findings)
	}
}
