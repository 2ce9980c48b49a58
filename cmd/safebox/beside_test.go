package main

import (
	"strings"
	"testing"

	"github.com/safebox/safebox/storage/dbtest"
)

// asAlembicWouldTakeItBack does to a database at our head what `alembic downgrade 20260310_0002` does.
func (s *site) asAlembicWouldTakeItBack() {
	s.t.Helper()
	s.exec("DROP TABLE receiveofferbootstrap", "UPDATE alembic_version SET version_num = '20260310_0002'")
}

func TestWhoeverStartsOnADatabaseThatAlembicTookBackBesideUsIsRefusedThoughTheMarkerSaysReady(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		s.ok("init")
		s.asAlembicWouldTakeItBack()
		for _, command := range []string{"worker", "init"} {
			r := s.run(command)
			told := lastLines(r.stderr)
			if r.code != exitData || !strings.Contains(told, "nothing was changed") {
				t.Errorf("%s: exit %d\n%s%s", command, r.code, r.stdout, r.stderr)
			}
		}
	})
}

func TestAVersionThatWasLostBesideUsIsPutBackByTheNextToStart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		s.ok("init")
		s.exec("DROP TABLE alembic_version")
		s.ok("worker", "--until-idle")
		if got := s.column("SELECT version_num FROM alembic_version"); len(got) != 1 || got[0] != "20260416_0003" {
			t.Errorf("alembic_version says %q", got)
		}
	})
}
