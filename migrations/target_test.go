package migrations_test

import (
	"errors"
	"testing"

	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
)

func TestTargetIsResolvedFromTheStateAlone(t *testing.T) {
	const first, second, last = "20260220_0001", "20260310_0002", "20261123_0004"
	for _, c := range []struct {
		from, target, want string
	}{
		{"", "head", last},
		{"", "+1", first},
		{first, "+1", second},
		{first, "+3", last},
		{first, second, second},
		{first, "20260310", second},
		{last, "head", last},
		{last, "+1", ""},
		{second, first, ""},
		{"", "nonsense", ""},
		{"", "+0", ""},
		{"", "2026", ""},
	} {
		got, err := migrations.Target(storage.SQLite, migrations.State{Revision: c.from}, c.target)
		var refused *migrations.TargetError
		if got != c.want || (err == nil) != (c.want != "") || err != nil && !errors.As(err, &refused) {
			t.Errorf("from %q to %q: got %q, %v; want %q", c.from, c.target, got, err, c.want)
		}
	}
}
