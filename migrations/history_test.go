package migrations_test

import (
	"errors"
	"testing"

	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
)

func TestTheHistoryIsOneLineNewestFirst(t *testing.T) {
	for _, d := range []storage.Dialect{storage.PostgreSQL, storage.SQLite} {
		history, revisions := migrations.History(d), migrations.Revisions(d)
		if len(history) != len(revisions) {
			t.Fatalf("%d entries of %d revisions", len(history), len(revisions))
		}
		for i, e := range history {
			place := len(revisions) - 1 - i
			parent := ""
			if place > 0 {
				parent = revisions[place-1].ID
			}
			if e.Revision != revisions[place] || e.Parent != parent || e.Head != (i == 0) || e.Alembic != (e.ID <= migrations.LatestAlembic) {
				t.Errorf("%+v", e)
			}
		}
		if e := history[1]; e.Doc != "receive offer bootstrap" || e.Path != "migrations/"+string(d)+"/20260416_0003_receive_offer_bootstrap.sql" {
			t.Errorf("%+v", e)
		}
		if heads := migrations.Heads(d); len(heads) != 1 || heads[0] != history[0] || heads[0].ID != migrations.Latest() {
			t.Errorf("heads %+v", heads)
		}
	}
	if len(migrations.History("oracle")) != 0 || len(migrations.Heads("oracle")) != 0 {
		t.Error("an unknown dialect has a history")
	}
}

func TestShowFindsARevisionByAnyOfItsNames(t *testing.T) {
	for name, want := range map[string]string{
		"head": migrations.Latest(), third: third, "20260310": second, "20260220_0001_baseline.sql": first, "head-1": third,
	} {
		if e, err := migrations.Show(storage.SQLite, name); err != nil || e.ID != want {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	for _, name := range []string{"base", "+1", "", "2026", "nonsense"} {
		var refused *migrations.TargetError
		if e, err := migrations.Show(storage.SQLite, name); !errors.As(err, &refused) {
			t.Errorf("%q: %+v, %v", name, e, err)
		}
	}
	if _, err := migrations.Show("oracle", "head"); err == nil {
		t.Error("an unknown dialect has revisions")
	}
}
