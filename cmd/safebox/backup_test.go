package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/query"
)

// sibling is a site with an empty database of its own, of the same dialect.
func (s *site) sibling() *site {
	if strings.HasPrefix(s.url, "sqlite") {
		return newSite(s.t, dbtest.SQLite(s.t))
	}
	return newSite(s.t, dbtest.PostgreSQL(s.t))
}

func TestABackupTakenWhileAReplicaWritesIsVerifiedAndRestored(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		script := demo.NewScript(11, 2000)
		ps := s.workers(1)
		post(t, ps[0], script.Setup)
		s.processed(1)
		stop := offer(ps[0], script, 100)
		file := filepath.Join(s.dir, "wallets.backup")
		s.does("backup", file)
		stop()

		v, r := answerHere[verification](s, "backup", "verify", file)
		if r.code != 0 || !v.OK || v.Audit == nil || v.Audit.Events == 0 || !v.Check.OK || !v.Recorded {
			t.Errorf("exit %d, %+v\n%s", r.code, v, r.stderr)
		}
		st, _ := answerHere[query.Status](s, "status")
		if st.BackedUp == nil || st.Verified == nil {
			t.Errorf("status: %+v", st)
		}
		if shown := s.does("status"); !strings.Contains(shown, "one was verified") {
			t.Errorf("shown as\n%s", shown)
		}

		if r := s.here("restore", file); r.code != exitConfig || !strings.Contains(r.stderr, "has tables") || !strings.Contains(r.stderr, "nothing was changed") {
			t.Errorf("over the database itself: exit %d\n%s", r.code, r.stderr)
		}
		locked, release := s.sibling(), make(chan struct{})
		began := make(chan struct{})
		leads := locked.replica("a-leader", func(context.Context) error {
			close(began)
			<-release
			return errors.New("enough")
		})
		<-began
		if r := locked.here("restore", file); r.code != exitAgain || !strings.Contains(r.stderr, "is held by another process") ||
			!strings.Contains(r.stderr, "`safebox status` tells which") {
			t.Errorf("while a leader is at work: exit %d\n%s", r.code, r.stderr)
		}
		close(release)
		if err := <-leads; err == nil {
			t.Error("the leader at work did not fail, as it was told to")
		}
		to := s.sibling()
		if told := to.does("restore", file); !strings.Contains(told, "at revision 20261123_0004") {
			t.Errorf("restored: %s", told)
		}
		to.ok("worker", "--until-idle")
		to.does("audit")

		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		content[len(content)/2] ^= 1
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, c := range [][]string{{"backup", "verify", file}, {"restore", file}} {
			if r := s.here(c...); r.code != exitData || !strings.Contains(r.stderr, "changed or damaged since it was taken") {
				t.Errorf("%v: exit %d\n%s", c, r.code, r.stderr)
			}
		}
	})
}

func TestABackupOfADatabaseWithFaultsIsNotFoundGood(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		s.does("init")
		s.insertWallet("npub-a", "amy")
		s.exec("DROP INDEX ix_nwcsecret_npub")
		file := filepath.Join(s.dir, "wallets.backup")
		s.does("backup", file)
		v, r := answerHere[verification](s, "backup", "verify", file)
		if r.code != exitData || v.OK || v.Recorded || v.Audit == nil || v.Audit.OK || len(v.Check.Differences) != 1 || len(v.Guards) != 0 {
			t.Errorf("exit %d, %+v\n%s", r.code, v, r.stderr)
		}
		r = s.here("backup", "verify", file)
		for _, want := range []string{"ix_nwcsecret_npub", "not good", "The books do not agree", "npub-a"} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("does not say %q:\n%s%s", want, r.stdout, r.stderr)
			}
		}
		if st, _ := answerHere[query.Status](s, "status"); st.BackedUp == nil || st.Verified != nil {
			t.Errorf("status: %+v", st)
		}
		if r := s.here("backup", file); r.code != exitConfig || !strings.Contains(r.stderr, "is there already") {
			t.Errorf("over a file: exit %d\n%s", r.code, r.stderr)
		}
	})
}
