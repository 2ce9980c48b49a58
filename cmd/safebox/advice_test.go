package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// asCreateAllLeftIt is what SQLModel's create_all makes, without a version.
func (s *site) asCreateAllLeftIt() {
	s.t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "migrations", "testdata", string(s.dialect()), "create_all.sql"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.exec(statements(string(content))...)
}

func statements(script string) (all []string) {
	for _, statement := range strings.Split(script, ";\n") {
		if strings.TrimSpace(statement) != "" {
			all = append(all, statement)
		}
	}
	return all
}

// recommended is the commands that a message names.
var recommended = regexp.MustCompile("`safebox ([^`]+)`")

// Each state is refused by a start with a message that says what is wrong and what to do. Who types the command of the message
// has a database that a worker takes. Each is made on one of the dialects, in turns; the tests of migrations make it on both.
func TestWhoFollowsTheAdviceOfARefusalHasADatabaseThatWorks(t *testing.T) {
	for i, c := range []struct {
		name     string
		make     func(*site)
		says     []string
		revision string // for the word REVISION in the advice
		command  string // the one that the message has to recommend
	}{
		{
			"tables of create_all on SQLite", (*site).asCreateAllLeftIt,
			[]string{"no alembic_version or gorp_migrations names their revision", "best match is revision 20260416_0003", "session_nonce", "ix_nfcrequesternonce_used_at"},
			"", "migrate stamp --repair 20260416_0003",
		},
		{
			"tables of create_all on PostgreSQL", (*site).asCreateAllLeftIt,
			[]string{"no alembic_version or gorp_migrations names their revision", "best match is revision 20260416_0003"},
			"", "migrate stamp --repair 20260416_0003",
		},
		{
			"tables whose version was dropped", func(s *site) {
				s.asAlembicLeftIt("20260310_0002")
				s.exec("DROP TABLE alembic_version")
			},
			[]string{"They are exactly those of revision 20260310_0002"},
			"", "migrate stamp 20260310_0002",
		},
		{
			"a version that is not that of the tables", func(s *site) {
				s.asAlembicLeftIt("20260220_0001")
				s.exec("UPDATE alembic_version SET version_num = '20260416_0003'")
			},
			[]string{"alembic_version says revision 20260416_0003, but the database differs from it in", "nfcrequesternonce"},
			"", "migrate stamp 20260220_0001",
		},
		{
			"an index that is missing", func(s *site) {
				s.asAlembicLeftIt("20260416_0003")
				s.exec("DROP INDEX ix_nfcrequesternonce_used_at")
			},
			[]string{"ix_nfcrequesternonce_used_at", "missing: it can be built"},
			"", "migrate stamp --repair 20260416_0003",
		},
		{
			"two versions", func(s *site) {
				s.asAlembicLeftIt("20260416_0003")
				s.exec("INSERT INTO alembic_version VALUES ('20260310_0002')")
			},
			[]string{"alembic_version has 2 rows (20260310_0002, 20260416_0003)"},
			"20260416_0003", "migrate stamp --purge REVISION",
		},
		{
			"an unknown version", func(s *site) {
				s.asAlembicLeftIt("20260416_0003")
				s.exec("UPDATE alembic_version SET version_num = 'c0ffee'")
			},
			[]string{`alembic_version names "c0ffee"`},
			"20260416_0003", "migrate stamp --purge REVISION",
		},
		{
			"a hole", func(s *site) {
				s.does("init")
				s.exec("DELETE FROM gorp_migrations WHERE id LIKE '%0002%'", "DROP TABLE safebox_init")
			},
			[]string{"gorp_migrations has a hole"},
			"", "migrate stamp 20261123_0004",
		},
		{
			"a changed file", func(s *site) {
				s.does("init")
				s.exec("UPDATE safebox_migration_checksum SET sha256 = 'abc' WHERE id LIKE '%0003%'", "DROP TABLE safebox_init")
			},
			[]string{"20260416_0003_receive_offer_bootstrap.sql has changed since it was applied"},
			"", "migrate stamp 20261123_0004",
		},
		{
			"Alembic went back beside us", func(s *site) {
				s.does("init")
				s.asAlembicWouldTakeItBack()
			},
			[]string{"Alembic went back to 20260310_0002 beside this program"},
			"", "migrate stamp --repair 20261123_0004",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, dbtest.SQLite(t))
			if i%2 == 1 {
				s = newSite(t, dbtest.PostgreSQL(t))
			}
			c.make(s)
			r := s.here("init")
			told := lastLines(r.stderr)
			if r.code != exitData || !strings.Contains(told, "nothing was changed") {
				t.Fatalf("exit %d\n%s", r.code, r.stderr)
			}
			for _, want := range c.says {
				if !strings.Contains(told, want) {
					t.Errorf("does not say %q:\n%s", want, told)
				}
			}
			named := false
			for _, m := range recommended.FindAllStringSubmatch(told, -1) {
				named = named || m[1] == c.command
			}
			if !named {
				t.Fatalf("does not recommend %q:\n%s", c.command, told)
			}
			args := strings.Fields(strings.ReplaceAll(c.command, "REVISION", c.revision))
			if shown := s.does(append(args, "--sql")...); !strings.Contains(shown, "stamping") {
				t.Errorf("--sql shows:\n%s", shown)
			}
			s.does(args...)
			s.does("worker", "--until-idle")
			s.does("migrate", "check", "--allow-harmless")
		})
	}
}

// Where nothing can be repaired from here, the message says so, and names the commands that lead on.
func TestARefusalThatNoCommandMendsSaysWhatToDo(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		s.asAlembicLeftIt("20260416_0003")
		if s.dialect() == storage.PostgreSQL {
			s.exec("ALTER TABLE paymentquote ALTER COLUMN amount TYPE text USING amount::text")
		} else {
			s.exec("ALTER TABLE paymentquote DROP COLUMN amount", "ALTER TABLE paymentquote ADD COLUMN amount BLOB NOT NULL DEFAULT ''")
		}
		before := s.catalogue()
		for _, args := range [][]string{{"init"}, {"migrate", "upgrade", "head"}, {"migrate", "stamp", "--repair", "20260416_0003"}, {"migrate", "upgrade", "--sql"}} {
			r := s.here(args...)
			if r.code != exitData || !strings.Contains(r.stderr, "contradicts") || !strings.Contains(r.stderr, "amount") ||
				!strings.Contains(r.stderr, "What contradicts cannot be repaired from here: make those tables what") {
				t.Errorf("%v: exit %d\n%s", args, r.code, r.stderr)
			}
		}
		report, r := answerHere[migrations.CheckReport](s, "migrate", "check")
		if r.code != exitData || report.OK || len(report.Differences) != 1 || report.Differences[0].Verdict != migrations.Contradicts {
			t.Errorf("exit %d, %+v", r.code, report)
		}
		s.exec("DROP TABLE safebox_init")
		if got := s.catalogue(); len(got) != len(before) {
			t.Errorf("refusals changed the database: %q", got)
		}
	})
}
