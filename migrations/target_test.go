package migrations_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
)

const (
	first  = "20260220_0001"
	second = "20260310_0002"
	third  = "20260416_0003"
)

func TestTargetIsResolvedFromTheStateAlone(t *testing.T) {
	last := migrations.Latest()
	for _, c := range []struct {
		command            migrations.Command
		from, target, want string
	}{
		{migrations.CommandUpgrade, "", "head", last},
		{migrations.CommandUpgrade, "", "heads", last},
		{migrations.CommandUpgrade, "", "+1", first},
		{migrations.CommandUpgrade, first, "+1", second},
		{migrations.CommandUpgrade, first, "+3", last},
		{migrations.CommandUpgrade, first, second, second},
		{migrations.CommandUpgrade, first, "20260310", second},
		{migrations.CommandUpgrade, first, second + "+1", third},
		{migrations.CommandUpgrade, first, "head-1", third},
		{migrations.CommandUpgrade, last, "head", last},
		{migrations.CommandDowngrade, last, "base", ""},
		{migrations.CommandDowngrade, last, "-1", third},
		{migrations.CommandDowngrade, last, "-4", ""},
		{migrations.CommandDowngrade, last, "20260220", first},
		{migrations.CommandDowngrade, last, "base+2", second},
		{migrations.CommandDowngrade, last, last, last},
		{migrations.CommandDowngrade, "", "base", ""},
		{migrations.CommandStamp, "", "head", last},
		{migrations.CommandStamp, last, "base", ""},
		{migrations.CommandStamp, last, second, second},
	} {
		got, err := migrations.Target(storage.SQLite, migrations.State{Revision: c.from}, c.target, c.command)
		if got != c.want || err != nil {
			t.Errorf("%s from %q to %q: got %q, %v; want %q", c.command, c.from, c.target, got, err, c.want)
		}
	}
}

func TestATargetThatIsNoneIsRefusedWithTheReasonAndWhatToName(t *testing.T) {
	last := migrations.Latest()
	known := strings.Join([]string{first, second, third, last}, ", ")
	for _, c := range []struct {
		command            migrations.Command
		from, target, want string
	}{
		{migrations.CommandUpgrade, last, "+1", `cannot upgrade to "+1": there are only 0 revisions after ` + last + `; name head, +n or one of ` + known},
		{migrations.CommandUpgrade, second, first, "the database is at 20260310_0002 already, and an upgrade does not go down: `safebox migrate downgrade 20260220_0001` does"},
		{migrations.CommandUpgrade, "", "nonsense", "there is no such revision"},
		{migrations.CommandUpgrade, "", "+0", "+n and -n want a whole number from 1 to 9999"},
		{migrations.CommandUpgrade, "", "+x", "+n and -n want a whole number"},
		{migrations.CommandUpgrade, "", "+1+1", "there is no such revision"},
		{migrations.CommandUpgrade, "", "+99999", "+n and -n want a whole number"},
		{migrations.CommandUpgrade, "", "2026", "several revisions begin so"},
		{migrations.CommandUpgrade, "", "", "it is empty"},
		{migrations.CommandUpgrade, "", "base", "an upgrade does not go down"},
		{migrations.CommandUpgrade, second, "-1", "an upgrade does not go down"},
		{migrations.CommandDowngrade, second, "-3", `cannot downgrade to "-3": there are only 2 revisions from 20260310_0002 down to base; name base, -n or one of ` + known},
		{migrations.CommandDowngrade, second, third, "the database is at 20260310_0002, and a downgrade does not go up: `safebox migrate upgrade 20260416_0003` does"},
		{migrations.CommandDowngrade, second, "+1", "a downgrade does not go up"},
		{migrations.CommandDowngrade, "", first, "the database is at base"},
		{migrations.CommandStamp, second, "+1", `cannot stamp "+1": only an upgrade and a downgrade count from where the database is; name head, base or one of ` + known},
	} {
		got, err := migrations.Target(storage.SQLite, migrations.State{Revision: c.from}, c.target, c.command)
		var refused *migrations.TargetError
		if !errors.As(err, &refused) || refused.ExitCode() != 64 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s from %q to %q: got %q, %v\nwant %s", c.command, c.from, c.target, got, err, c.want)
		}
	}
}
