package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/query"
)

// changed is what a command that changes the schema answers with --json.
type changed struct {
	migrations.Report
	Backup *storage.BackupInfo
}

// One database from base to the head and back, by each command of Alembic's.
func TestEachCommandOfAlembicsDoesWhatItsNameSays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		for _, c := range []struct {
			args string
			code int
			says []string // on standard output, or on standard error where the code is not 0
		}{
			{"upgrade +2", 0, []string{"Applied 20260220_0001, 20260310_0002; the database is at revision 20260310_0002."}},
			{"current", 0, []string{"20260310_0002, to come: 20260416_0003, 20261123_0004\n"}},
			{"current -v", 0, []string{"Rev:", "20260310_0002", "Parent:", "20260220_0001", "Path:", "Alembic says:", "20260310_0002, to come"}},
			{"current --json", 0, []string{`"revision": "20260310_0002"`, `"alembic": "20260310_0002"`}},
			{"history", 0, []string{"20260416_0003 -> 20261123_0004 (head), event log\n", "<base> -> 20260220_0001, baseline\n"}},
			{"history -i", 0, []string{"20260220_0001 -> 20260310_0002 (current), nfc requester nonce\n"}},
			{"history -v", 0, []string{"SHA-256:", "Known to Alembic:"}},
			{"history --json", 0, []string{`"id": "20261123_0004"`, `"parent": ""`}},
			{"heads", 0, []string{"20261123_0004 (head)\n"}},
			{"heads -v", 0, []string{"Rev:", "20261123_0004 (head)", "SHA-256:"}},
			{"show 2026022", 0, []string{"Rev:", "20260220_0001", "baseline"}},
			{"show nothing", exitUsage, []string{"cannot show \"nothing\": there is no such revision; name head or one of 20260220_0001"}},
			{"downgrade -1", 0, []string{"Took back 20260310_0002; the database is at revision 20260220_0001.", "next worker"}},
			{"downgrade -5", exitUsage, []string{`cannot downgrade to "-5"`, "only 1 revisions from 20260220_0001 down to base"}},
			{"downgrade", exitUsage, []string{"takes a target: base, -N or a revision"}},
			{"upgrade -1", exitUsage, []string{`cannot upgrade to "-1"`}},
			{"stamp", exitUsage, []string{"a stamp needs the revision", "revision 20260220_0001", "migrate check"}},
			{"stamp head", exitData, []string{"the tables are not those of 20261123_0004; nothing was changed", "run `safebox migrate stamp 20260220_0001`"}},
			{"stamp --purge 20260220_0001", 0, []string{"Stamped: the database is at revision 20260220_0001"}},
			{"check", exitData, []string{"at revision 20260220_0001", "3 revisions behind: run `safebox migrate upgrade head`"}},
			{"check --json", exitData, []string{"3 revisions behind"}},
			{"upgrade", 0, []string{"the database is at revision 20261123_0004.\n"}},
			{"upgrade head", 0, []string{"there was nothing to apply.\n"}},
			{"check", 0, []string{"The tables are those of revision 20261123_0004, the head.\n"}},
			{"stamp head --json", 0, []string{`"to": "20261123_0004"`}},
			{"current", 0, []string{"20261123_0004 (head)\n"}},
			{"downgrade base --sql --backup x", exitUsage, []string{"--backup and --sql exclude one another"}},
			{"downgrade base", 0, []string{"the database is at base."}},
			{"current", 0, []string{"(none)\n"}},
			{"stamp base", 0, []string{"Stamped: the database is at base"}},
		} {
			r := s.here(append([]string{"migrate"}, strings.Fields(c.args)...)...)
			text := r.stdout
			if c.code != 0 {
				text = r.stderr
			}
			if r.code != c.code {
				t.Fatalf("migrate %s: exit %d, want %d\n%s%s", c.args, r.code, c.code, r.stdout, r.stderr)
			}
			for _, want := range c.says {
				if !strings.Contains(text, want) {
					t.Errorf("migrate %s does not say %q:\n%s%s", c.args, want, r.stdout, r.stderr)
				}
			}
		}
		if r := s.here("wallet", "list"); r.code != exitAgain || !strings.Contains(r.stderr, "the database is at base and this program needs 20261123_0004") {
			t.Errorf("on a database that was taken down: exit %d\n%s", r.code, r.stderr)
		}
		s.does("worker", "--until-idle") // the marker elects a leader again
		s.does("migrate", "check")
	})
}

func TestANewRevisionIsLaidOutWhereAskedForWithoutADatabase(t *testing.T) {
	s := newSite(t, "postgresql://nobody@"+deserted+"/none")
	if r := s.here("migrate", "new", "add_colour"); r.code != exitUsage || !strings.Contains(r.stderr, "there is no folder migrations/postgresql") {
		t.Errorf("exit %d\n%s", r.code, r.stderr)
	}
	for _, d := range []string{"postgresql", "sqlite"} {
		if err := os.MkdirAll(filepath.Join(s.dir, "revisions", d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	a, r := answerHere[struct{ Files []string }](s, "migrate", "new", "add_colour", "--dir", filepath.Join(s.dir, "revisions"))
	if r.code != 0 || len(a.Files) != 2 || !strings.HasSuffix(a.Files[0], "_0001_add_colour.sql") {
		t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

func TestADowngradeWithEventsListsThemAndBacksThemUp(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		script := demo.NewScript(5, 30)
		s.publish(s.write("setup.jsonl", lines(script.Setup)))
		s.does("worker", "--until-idle")
		before := s.catalogue()

		r := s.here("migrate", "downgrade", "-1")
		if r.code != exitData || !strings.Contains(r.stderr, "event_log") || !strings.Contains(r.stderr, "ledger_entry") ||
			!strings.Contains(r.stderr, "--backup FILE does), then say --yes") {
			t.Errorf("exit %d\n%s", r.code, r.stderr)
		}
		taken := s.write("taken.backup", nil)
		if r := s.here("migrate", "downgrade", "-1", "--yes", "--backup", taken); r.code != exitConfig || !strings.Contains(r.stderr, "is there already") {
			t.Errorf("over a file: exit %d\n%s", r.code, r.stderr)
		}
		if st, _ := answerHere[query.Status](s, "status"); !st.Ready || st.State != "ready" {
			t.Errorf("after what was refused: %+v", st)
		}
		if diff := cmp.Diff(before, s.catalogue()); diff != "" {
			t.Errorf("what was refused changed the database:\n%s", diff)
		}

		done, r := answerHere[changed](s, "migrate", "downgrade", "-1", "--yes", "--backup", filepath.Join(s.dir, "wallets.backup"))
		if r.code != 0 || done.Backup == nil || done.Backup.Path != filepath.Join(s.dir, "wallets.backup") || done.To != migrations.LatestAlembic ||
			!slices.ContainsFunc(done.Lost, func(l migrations.Loss) bool { return l.Table == "event_log" && l.Count == int64(len(script.Setup)) }) {
			t.Fatalf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		restored := newSite(t, storagetest.Restore(t, *done.Backup, func(tb testing.TB) string { return dbtest.PostgreSQL(tb) }))
		restored.does("worker", "--until-idle")
		restored.does("audit")
		if diff := cmp.Diff(before, restored.catalogue()); diff != "" {
			t.Errorf("restored (-before +restored):\n%s", diff)
		}
	})
}

// byScript gives the site's database what a script does, by the database's own program.
func (s *site) byScript(script string) {
	s.t.Helper()
	c := exec.CommandContext(s.t.Context(), "sqlite3", strings.TrimPrefix(s.url, "sqlite:///"))
	if s.dialect() == storage.PostgreSQL {
		c = exec.CommandContext(s.t.Context(), dbtest.Program(s.t, "psql"), "-X", "-q", "-f", "-", s.url)
	}
	c.Stdin = strings.NewReader(script)
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s\n%s", err, out, script)
	}
}

func TestWhatSQLPrintsEndsWhereTheCommandEnds(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		if s.dialect() == storage.SQLite {
			if r := s.here("migrate", "downgrade", "base", "--sql"); r.code != exitUnreachable || !strings.Contains(r.stderr, "database.db") {
				t.Errorf("where there is no file: exit %d\n%s", r.code, r.stderr)
			}
			if script := s.does("migrate", "upgrade", "+1", "--sql"); !strings.Contains(script, "from base to 20260220_0001") {
				t.Errorf("of a file that is to be made:\n%s", script)
			}
			s.tidy()
		}
		s.byScript(s.does("migrate", "upgrade", "base:20260310_0002", "--sql"))
		as := func(want string) {
			t.Helper()
			if state, r := answerHere[migrations.State](s, "migrate", "current"); state.Revision != want || state.Problem != "" {
				t.Fatalf("at %+v, want %s\n%s", state, want, r.stderr)
			}
		}
		as("20260310_0002")
		before := s.column("SELECT id FROM gorp_migrations ORDER BY id")
		script := s.does("migrate", "upgrade", "head", "--sql")
		if diff := cmp.Diff(before, s.column("SELECT id FROM gorp_migrations ORDER BY id")); diff != "" {
			t.Errorf("--sql wrote: %s", diff)
		}
		s.byScript(script)
		as(migrations.Latest())
		s.does("migrate", "check")
		s.does("worker", "--until-idle")
		s.insertWallet("npub-a", "amy")
		s.exec("UPDATE registeredsafebox SET entry_count = 3")
		if r := s.here("migrate", "downgrade", "-1", "--sql"); r.code != exitData || !strings.Contains(r.stderr, "entry_count") || r.stdout != "" {
			t.Errorf("what would be lost: exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		s.byScript(s.does("migrate", "downgrade", "-1", "--sql", "--yes"))
		as("20260416_0003")
		s.exec("DELETE FROM gorp_migrations WHERE id LIKE '%0003%'", "DELETE FROM alembic_version")
		j, _ := answerHere[struct{ SQL string }](s, "migrate", "stamp", "20260416_0003", "--sql", "--purge")
		s.byScript(j.SQL)
		as("20260416_0003")
		s.does("worker", "--until-idle")
	})
}

func TestCheckListsDriftAsATableAndAsJSON(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		s.does("init")
		s.exec("DROP INDEX ix_nwcsecret_npub", "CREATE INDEX mine ON registeredsafebox (owner)")
		report, r := answerHere[migrations.CheckReport](s, "migrate", "check")
		if r.code != exitData || report.OK || len(report.Differences) != 2 || !strings.Contains(report.Do, "migrate stamp --repair 20261123_0004") {
			t.Errorf("exit %d, %+v", r.code, report)
		}
		r = s.here("migrate", "check")
		if r.code != exitData || !strings.Contains(r.stdout, "ix_nwcsecret_npub") || !strings.Contains(r.stdout, "VERDICT") ||
			!strings.Contains(r.stderr, "the tables are not those of revision 20261123_0004") || !strings.Contains(r.stderr, "--repair") {
			t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		repaired, r := answerHere[changed](s, "migrate", "stamp", "--repair", "20261123_0004", "--backup", filepath.Join(s.dir, "before.backup"))
		if r.code != 0 || len(repaired.Repaired) != 1 || repaired.Backup == nil {
			t.Fatalf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		if r := s.here("migrate", "check"); r.code != exitData || !strings.Contains(r.stdout, "mine") || strings.Contains(r.stdout, "ix_nwcsecret_npub") {
			t.Errorf("repaired: exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		s.does("migrate", "check", "--allow-harmless")
	})
}

// Several operators, and a replica that starts: one does the work, the others wait and find it done.
func TestOperatorsAtOnceTakeTurns(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		atOnce := func(commands ...string) (applied, reverted int) {
			t.Helper()
			var all []*process
			outs := make([]*bytes.Buffer, len(commands))
			for i, c := range commands {
				outs[i] = &bytes.Buffer{}
				cmd := s.command(nil, strings.Fields(c)...)
				cmd.Stdout = outs[i]
				all = append(all, s.launch(cmd))
			}
			for i, p := range all {
				if code := p.wait(); code != 0 {
					t.Fatalf("%s: exit %d\n%s%s", commands[i], code, outs[i], p.log.text())
				}
				if strings.HasSuffix(commands[i], "--json") {
					var done changed
					if err := json.Unmarshal(outs[i].Bytes(), &done); err != nil {
						t.Fatalf("%v: %s", err, outs[i])
					}
					applied, reverted = applied+len(done.Applied), reverted+len(done.Reverted)
				}
			}
			return applied, reverted
		}
		if applied, _ := atOnce("migrate upgrade 20260310_0002 --json", "migrate upgrade 20260310_0002 --json"); applied != 2 {
			t.Errorf("upgrades to one revision applied %d in all", applied)
		}
		atOnce("migrate upgrade head --json", "worker --until-idle", "migrate upgrade head --json")
		s.does("migrate", "check")
		if _, reverted := atOnce("migrate downgrade 20260310_0002 --json", "migrate downgrade 20260310_0002 --json"); reverted != 2 {
			t.Errorf("downgrades of two revisions took back %d in all", reverted)
		}
		s.does("worker", "--until-idle")
	})
}

func TestAnOperatorWhoWaitsIsToldForWhom(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		began, release := make(chan struct{}), make(chan struct{})
		first := s.replica("first-of-all", func(ctx context.Context) error {
			initlock.Note(ctx, "moving mountains")
			close(began)
			<-release
			return errors.New("they are too heavy")
		})
		<-began
		p := s.start(nil, "migrate", "upgrade", "head")
		p.await("waiting for the initialisation lock (held by ")
		p.await("first-of-all")
		p.await("moving mountains")
		close(release)
		if err := <-first; err == nil {
			t.Error("the first leader did not fail, as it was told to")
		}
		if code := p.wait(); code != 0 {
			t.Errorf("exit %d\n%s", code, p.log.text())
		}
	})
}
