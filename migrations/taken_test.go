package migrations

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
)

// Invariant 1: what a revision makes must not be there.
func TestWhatARevisionMakesMustNotBeThere(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		if _, err := Upgrade(ctx, db, options(d), LatestAlembic); err != nil {
			t.Fatal(err)
		}
		exec(t, db, "CREATE TABLE parked_event (mine integer)")
		exec(t, db, "ALTER TABLE paymentquote ADD COLUMN npub integer")
		schema, rows := describe(t, db, d), contents(t, db, d)
		_, err := Prepare(ctx, db, options(d))
		var refusal *PlanError
		if !errors.As(err, &refusal) || refusal.ExitCode() != 65 {
			t.Fatalf("error %v", err)
		}
		for _, says := range []string{
			"the table parked_event (20261123_0004)", "the column paymentquote.npub (20261123_0004)", "nothing was changed", "Rename or drop",
		} {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%q is not in: %v", says, err)
			}
		}
		if diff := cmp.Diff(schema, describe(t, db, d)); diff != "" {
			t.Errorf("the schema changed:\n%s", diff)
		}
		if diff := cmp.Diff(rows, contents(t, db, d)); diff != "" {
			t.Errorf("rows changed:\n%s", diff)
		}
		exec(t, db, "DROP TABLE parked_event")
		exec(t, db, "ALTER TABLE paymentquote DROP COLUMN npub")
		if r, err := Prepare(ctx, db, options(d)); err != nil || !r.Head {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
