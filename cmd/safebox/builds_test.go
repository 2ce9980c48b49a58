package main

import (
	"strings"
	"testing"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/query"
)

// later is a revision that no build has yet.
const later = "20270101_0009"

// migratedByALaterBuild makes the database what a later build leaves, which says that builds of the given revision and
// later may still work with it.
func (s *site) migratedByALaterBuild(oldestCompatible string) {
	s.t.Helper()
	s.ok("init")
	s.exec("CREATE TABLE of_tomorrow (n integer)",
		"INSERT INTO gorp_migrations (id, applied_at) VALUES ('"+later+"_tomorrow.sql', CURRENT_TIMESTAMP)",
		"UPDATE safebox_init SET digest = 'of a later build', holder = 'tomorrow', epoch = epoch + 1, revision = '"+later+"', oldest_compatible = '"+oldestCompatible+"'")
}

func TestReplicaOnANewerSchemaServesWhereItMay(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		s.migratedByALaterBuild(migrations.Latest())
		script := demo.NewScript(17, 100)
		s.publish(s.write("setup.jsonl", lines(script.Setup)))
		s.publish(s.write("activity.jsonl", lines(script.Activity)))
		r := s.run("worker", "--until-idle")
		if r.code != 0 || !strings.Contains(r.stderr, "newer than this build") || strings.Contains(r.stderr, nowLeads) {
			t.Errorf("exit %d\n%s", r.code, r.stderr)
		}
		s.holds(script.Tally)
		if st, r := answer[query.Status](s, "status"); r.code != 0 || !st.Ready || st.Revision != later || st.Leader != "tomorrow" {
			t.Errorf("status: exit %d, %+v", r.code, st)
		}
		if i, r := answer[struct{ Outcome, Revision string }](s, "init"); r.code != 0 || i.Outcome != string(initlock.OutcomeNewer) || i.Revision != later {
			t.Errorf("init: exit %d, %+v", r.code, i)
		}
	})
}

func TestReplicaOnASchemaThatIsTooNewExitsAndNamesBothRevisions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		s.migratedByALaterBuild(later)
		for _, args := range [][]string{{"worker"}, {"init"}} {
			r := s.run(args...)
			if r.code != exitConfig || !strings.Contains(r.stderr, later) || !strings.Contains(r.stderr, migrations.Latest()) {
				t.Errorf("%v: exit %d\n%s", args, r.code, r.stderr)
			}
		}
		var digest, state string
		err := s.sql().QueryRowContext(t.Context(), "SELECT digest, state FROM safebox_init").Scan(&digest, &state)
		if err != nil || digest != "of a later build" || state != string(initlock.Ready) {
			t.Errorf("the marker says %s of digest %q, %v", state, digest, err)
		}
	})
}
