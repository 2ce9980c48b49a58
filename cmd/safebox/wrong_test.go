package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/cmd/safebox/internal/publish"
	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/query"
)

func TestWrongConfigurationIsToldWithItsNameAndChangesNothing(t *testing.T) {
	const secret = "hunter2hunter2"
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("a file, and no folder\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	csv := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name string
		env  []string
		code int
		says []string
	}{
		{"an unknown scheme", []string{"DATABASE=mysql://me:" + secret + "@h/db"}, exitConfig, []string{"DATABASE", "mysql://me:***@h/db", "expected"}},
		{"a port that is no number", []string{"DATABASE=postgresql://me:" + secret + "@h:port/db"}, exitConfig, []string{"DATABASE", "port"}},
		{"a port that is too large", []string{"DATABASE=postgresql://me:" + secret + "@h:65536/db"}, exitConfig, []string{"port"}},
		{"a database in memory", []string{"DATABASE=sqlite://"}, exitConfig, []string{"DATABASE", "in a file"}},
		{"a folder that cannot be made", []string{"DATABASE=sqlite:///" + plain + "/database.db"}, exitConfig, []string{plain}},
		{"a file that is no database", []string{"DATABASE=sqlite:///" + plain}, exitConfig, []string{plain}},
		{"a pool without a limit", []string{"DB_POOL_SIZE=0"}, exitConfig, []string{"DB_POOL_SIZE"}},
		{"an overflow without a limit", []string{"DB_MAX_OVERFLOW=-1"}, exitConfig, []string{"DB_MAX_OVERFLOW"}},
		{"a pool size in words", []string{"DB_POOL_SIZE=ten"}, exitConfig, []string{"DB_POOL_SIZE", `"ten"`, "whole number"}},
		{"no lanes", []string{"SAFEBOX_LANES=0"}, exitConfig, []string{"SAFEBOX_LANES", "from 1 to 64"}},
		{"a batch of nothing", []string{"SAFEBOX_BATCH=0"}, exitConfig, []string{"SAFEBOX_BATCH"}},
		{"an unknown log format", []string{"SAFEBOX_LOG_FORMAT=xml"}, exitConfig, []string{"SAFEBOX_LOG_FORMAT", "text or json"}},
		{"an unknown log level", []string{"SAFEBOX_LOG_LEVEL=loud"}, exitConfig, []string{"SAFEBOX_LOG_LEVEL"}},
		{"an address without a port", []string{"SAFEBOX_HTTP_ADDR=localhost"}, exitConfig, []string{"SAFEBOX_HTTP_ADDR"}},
		{"an open address without a token", []string{"SAFEBOX_HTTP_ADDR=0.0.0.0:0"}, exitConfig, []string{"SAFEBOX_INGEST_TOKEN"}},
		{"a token with a space", []string{"SAFEBOX_INGEST_TOKEN=" + secret + " x"}, exitConfig, []string{"SAFEBOX_INGEST_TOKEN"}},
		{"currencies that are no list", []string{`SUPPORTED_CURRENCIES=["SAT"`}, exitConfig, []string{"SUPPORTED_CURRENCIES"}},
		{"a currency that nobody has", []string{"SUPPORTED_CURRENCIES=SAT,XQQ"}, exitConfig, []string{"XQQ"}},
		{"a seed file that is not there", []string{"CURRENCY_CSV=" + filepath.Join(dir, "none.csv")}, exitConfig, []string{"none.csv"}},
		{
			"a seed file with a bad number",
			[]string{"CURRENCY_CSV=" + csv("bad.csv", "currency_code,currency_rate\nSAT,1\nUSD,many\n")},
			exitData,
			[]string{"bad.csv:3:5", "currency_rate"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, dbtest.SQLite(t))
			r := s.runWith(c.env, "", "worker", "--until-idle")
			if r.code != c.code || r.stdout != "" || !strings.HasPrefix(lastLines(r.stderr), "safebox: ") {
				t.Errorf("exit %d, want %d\n%s%s", r.code, c.code, r.stdout, r.stderr)
			}
			for _, text := range c.says {
				if !strings.Contains(r.stderr, text) {
					t.Errorf("does not say %q: %s", text, r.stderr)
				}
			}
			if strings.Contains(r.stderr, secret) {
				t.Errorf("tells the secret: %s", r.stderr)
			}
			// Which currencies there are is known when they are seeded.
			if _, err := os.Stat(strings.TrimPrefix(s.url, "sqlite:///")); err == nil && c.says[0] != "XQQ" {
				t.Error("the database was made")
			}
		})
	}
}

// lastLines is what stands after the log lines of a process: what it told people.
func lastLines(stderr string) string {
	if i := strings.Index(stderr, "safebox: "); i == 0 || i > 0 && stderr[i-1] == '\n' {
		return stderr[i:]
	}
	return stderr
}

func TestWrongPasswordIsToldAtOnceAndNotRepeated(t *testing.T) {
	const secret = "s3cr3t-and-wrong"
	admin := newSite(t, dbtest.PostgreSQL(t))
	role := fmt.Sprintf("clerk_%d", time.Now().UnixNano())
	admin.exec("CREATE ROLE " + role + " LOGIN PASSWORD 'right'")
	t.Cleanup(func() { admin.in(t).drop(role) })
	_, after, _ := strings.Cut(admin.url, "@")
	s := newSite(t, "postgresql://"+role+":"+secret+"@"+after)
	r := s.run("worker")
	if r.code != exitConfig || strings.Contains(r.stderr, secret) || !strings.Contains(r.stderr, "password") || r.took > 10*time.Second {
		t.Errorf("exit %d after %v\n%s", r.code, r.took, r.stderr)
	}
}

func TestRoleWithoutRightsIsToldWhichOnesItLacks(t *testing.T) {
	admin := newSite(t, dbtest.PostgreSQL(t))
	role := fmt.Sprintf("guest_%d", time.Now().UnixNano())
	admin.exec("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	admin.exec("CREATE ROLE " + role + " LOGIN PASSWORD 'pw'")
	t.Cleanup(func() { admin.in(t).drop(role) })
	_, after, _ := strings.Cut(admin.url, "@")
	s := newSite(t, "postgresql://"+role+":pw@"+after)
	for _, c := range [][]string{{"init"}, {"demo", "--database", s.url}} {
		if r := s.run(c...); r.code != exitConfig || !strings.Contains(r.stderr, "permission denied") || !strings.Contains(r.stderr, "grant the user") {
			t.Errorf("%v: exit %d\n%s", c, r.code, r.stderr)
		}
	}
}

func TestReplicaThatFailsToPrepareDoesNotTakeAReadyDatabaseAwayFromOthers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		s.ok("init")
		if r := s.runWith([]string{"SUPPORTED_CURRENCIES=XQQ"}, "", "init"); r.code != exitConfig {
			t.Fatalf("exit %d\n%s", r.code, r.stderr)
		}
		s.ok("wallet", "list")
		s.ok("event", "publish", s.write("none.jsonl", nil))
		st, _ := answer[query.Status](s, "status")
		if !st.Ready || st.State != initlock.Failed || !strings.Contains(st.Error, "XQQ") {
			t.Errorf("status: %+v", st)
		}
		if shown := s.ok("status"); !strings.Contains(shown, "failed") || !strings.Contains(shown, "XQQ") {
			t.Errorf("shown as %s", shown)
		}
	})
}

func (s *site) drop(role string) {
	db := s.sql()
	defer db.Close()
	db.Exec("DROP ROLE IF EXISTS " + role) //nolint:errcheck,noctx // the server goes away as well
}

// deserted is an address where nobody listens: a port that was free a moment ago may be another program's by now.
const deserted = "127.0.0.1:1"

func TestWorkerThatIsStoppedWhileItWaitsForAServerEndsWell(t *testing.T) {
	s := newSite(t, "postgresql://me@"+deserted+"/db", "DB_POOL_TIMEOUT_SECONDS=3600")
	p := s.start(nil, "worker")
	p.await("trying again")
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit %d\n%s", code, p.log.text())
	}
}

func TestWorkerWithoutAServerTriesForTheTimeoutAndSaysSo(t *testing.T) {
	addr := deserted
	s := newSite(t, "postgresql://me:pa55word@"+addr+"/db", "DB_POOL_TIMEOUT_SECONDS=2")
	r := s.run("worker")
	if r.code != exitUnreachable || !strings.Contains(r.stderr, addr) || strings.Contains(r.stderr, "pa55word") {
		t.Errorf("exit %d\n%s", r.code, r.stderr)
	}
	if !strings.Contains(r.stderr, "trying again") || r.took > 15*time.Second {
		t.Errorf("it gave up after %v, with a timeout of 2 s, and said:\n%s", r.took, r.stderr)
	}
}

func TestRefusedLinesAreNamedAndTheGoodOnesBesideThemAreTaken(t *testing.T) {
	script := demo.NewScript(9, 1)
	good := string(script.Setup[0])
	npub := subjectOfLine(t, script.Setup[0])
	change := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	credit := string(script.Setup[1])
	dbtest.Each(t, func(t *testing.T, url string) {
		for _, c := range []struct {
			name, line, field string
		}{
			{"broken JSON", good[:len(good)-2], ""},
			{"an unknown type", change("safebox.wallet.registered.v1", "safebox.wallet.unheard.v1"), "type"},
			{"a bad npub", strings.ReplaceAll(good, npub, npub[:len(npub)-1]+"q"), "subject"},
			{"a negative amount", strings.Replace(credit, `"amount":`, `"amount":-`, 1), "data.amount"},
			{"a line of 1 MB", strings.Replace(credit, `"memo":"`, `"memo":"`+strings.Repeat("x", 1<<20), 1), ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				s := newSite(t, url)
				file := s.write("events.jsonl", []byte(good+"\n\n"+c.line+"\n"+credit))
				sum, r := answer[publish.Summary](s, "event", "publish", file)
				if r.code != exitData || sum.Refused != 1 || sum.Appended+sum.Duplicates != 2 || len(sum.Problems) != 1 {
					t.Fatalf("exit %d, %+v\n%s", r.code, sum, r.stderr)
				}
				p := sum.Problems[0]
				if p.Line != 3 || p.Field != c.field || p.Reason == "" || !strings.Contains(r.stderr, "line 3: ") {
					t.Errorf("problem %+v, told as %s", p, r.stderr)
				}
				if len(r.stderr) > 4096 {
					t.Errorf("told in %d bytes", len(r.stderr))
				}
			})
		}
	})
}

func subjectOfLine(t *testing.T, line []byte) string {
	t.Helper()
	ev, err := event.Decode(line)
	if err != nil {
		t.Fatal(err)
	}
	return ev.Subject
}

func TestPublishingReadsStandardInput(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	script := demo.NewScript(9, 1)
	r := s.runWith(nil, string(lines(script.Setup[:2])), "event", "publish", "-")
	if r.code != 0 || !strings.Contains(r.stdout, "2 appended") {
		t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r := s.run("event", "publish", "none.jsonl"); r.code != exitUsage || !strings.Contains(r.stderr, "none.jsonl") {
		t.Errorf("exit %d\n%s", r.code, r.stderr)
	}
}

func TestReadingCommandsCreateNothing(t *testing.T) {
	commands := [][]string{
		{"wallet", "list"},
		{"wallet", "show", "x"},
		{"wallet", "history", "x"},
		{"event", "show", "x"},
		{"parked", "list"},
		{"guard"},
		{"audit"},
	}
	t.Run("where there is no file", func(t *testing.T) {
		s := newSite(t, dbtest.SQLite(t))
		for _, c := range append(commands, []string{"status"}, []string{"migrate", "current"}) {
			if r := s.run(c...); r.code != exitUnreachable || !strings.Contains(r.stderr, "database.db") {
				t.Errorf("%v: exit %d\n%s", c, r.code, r.stderr)
			}
		}
		s.tidy()
	})
	t.Run("on an empty database", func(t *testing.T) {
		s := newSite(t, dbtest.PostgreSQL(t))
		for _, c := range commands {
			if r := s.run(c...); r.code != exitAgain || !strings.Contains(r.stderr, "not initialised") || !strings.Contains(r.stderr, "safebox init") {
				t.Errorf("%v: exit %d\n%s", c, r.code, r.stderr)
			}
		}
		st, r := answer[query.Status](s, "status")
		if r.code != 0 || st.Ready || st.Workers == nil {
			t.Errorf("status: exit %d, %+v", r.code, st)
		}
		var tables int
		err := s.sql().QueryRowContext(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&tables)
		if err != nil || tables != 0 {
			t.Errorf("%d tables, %v", tables, err)
		}
	})
}

func TestAnswersOfAnEmptyClusterAreEmptyLists(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		s.ok("init")
		for _, c := range [][]string{{"wallet", "list"}, {"parked", "list"}, {"parked", "retry", "--all"}} {
			if got := s.ok(append(c, "--json")...); strings.TrimSpace(got) != "[]" {
				t.Errorf("%v --json: %q", c, got)
			}
			s.ok(c...)
		}
		for _, c := range [][]string{{"wallet", "show", "nobody"}, {"event", "show", "none"}, {"wallet", "history", "nobody"}, {"parked", "retry", "nobody"}} {
			if r := s.run(c...); r.code != exitData || !strings.Contains(r.stderr, c[2]) {
				t.Errorf("%v: exit %d\n%s", c, r.code, r.stderr)
			}
		}
	})
}

func TestEventShowMasksSecretsAndTellsTheOutcome(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url, secretKey)
		script := demo.NewScript(9, 1)
		const key = "open-sesame-42"
		withKey := strings.Replace(string(script.Setup[0]), `"data":{`, `"data":{"access_key":"`+key+`",`, 1)
		s.publish(s.write("events.jsonl", []byte(withKey+"\n"+string(script.Setup[1]))))
		shown, _ := answer[[]query.Event](s, "event", "show", "e-1")
		if len(shown) != 1 || shown[0].Outcome != "pending" {
			t.Errorf("before processing: %+v", shown)
		}
		s.ok("worker", "--until-idle")
		for _, id := range []string{"e-1", "e-2"} {
			shown, r := answer[[]query.Event](s, "event", "show", id)
			if len(shown) != 1 || shown[0].Outcome != "applied" || len(shown[0].Entries) != 1 {
				t.Errorf("%s: %s", id, r.stdout)
			}
			for _, text := range []string{r.stdout, s.ok("event", "show", id)} {
				if strings.Contains(text, key) {
					t.Errorf("tells the access key: %s", text)
				}
			}
		}
		if r := s.ok("event", "show", "e-1"); !strings.Contains(r, "***") || !strings.Contains(r, event.TypeWalletRegistered) {
			t.Errorf("shown as %s", r)
		}
		history := s.ok("wallet", "history", subjectOfLine(t, script.Setup[0]))
		if !strings.Contains(history, event.TypeFundsCredited) {
			t.Errorf("history: %s", history)
		}
		s.ok("wallet", "show", "demo-000")
	})
}
