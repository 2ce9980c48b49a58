package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/safebox/safebox/cmd/safebox/internal/doctor"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// line is what a diagnosis says of one check.
func (d diagnosis) line(check string) doctor.Line {
	for _, l := range d.Lines {
		if l.Check == check {
			return l
		}
	}
	return doctor.Line{}
}

// finds expects a line of a diagnosis, and the exit code that goes with it.
func (s *site) finds(check string, level doctor.Level, code int, says string, args ...string) diagnosis {
	s.t.Helper()
	d, r := answer[diagnosis](s, append([]string{"doctor"}, args...)...)
	l := d.line(check)
	if l.Level != level || !strings.Contains(l.Found+" "+l.Do, says) || level == doctor.OK && l.Do != "" {
		s.t.Errorf("%s: %s %q, to do %q; want %s with %q\n%s", check, l.Level, l.Found, l.Do, level, says, r.stdout)
	}
	if r.code != code {
		s.t.Errorf("%s: exit %d, want %d\n%s%s", check, r.code, code, r.stdout, r.stderr)
	}
	return d
}

func TestADoctorFindsNothingWrongWithAHealthyDatabase(t *testing.T) {
	t.Parallel()
	server := dbtest.Server(t, dbtest.Options{Fsync: true})
	for dialect, url := range map[string]string{"postgresql": server.Database(t), "sqlite": dbtest.SQLite(t)} {
		t.Run(dialect, func(t *testing.T) {
			s := newSite(t, url)
			s.ok("init")
			d, r := answer[diagnosis](s, "doctor")
			if r.code != 0 || !d.OK || d.Failures > 0 || len(d.Lines) < 12 {
				t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			for _, l := range d.Lines {
				// What the tests' own machine has is no fault of the program's: its volume, and the rights of its folders.
				if l.Level != doctor.OK && l.Check != "disk" && l.Check != "file system" && l.Check != "access" {
					t.Errorf("%+v", l)
				}
			}
			if text := s.ok("doctor"); !strings.Contains(text, "ok       schema") || !strings.Contains(text, "0 failures, ") {
				t.Errorf("for people:\n%s", text)
			}
		})
	}
}

// Every fault is made for real on a private server, and undone.
func aDoctorExaminesAServer(t *testing.T) {
	t.Parallel()
	server := dbtest.Server(t, dbtest.Options{Fsync: true, Settings: map[string]string{"max_prepared_transactions": "2"}})
	s := newSite(t, server.Database(t))
	s.ok("init")
	name := s.column("SELECT current_database()")[0]
	database := "ALTER DATABASE " + name + " "
	for _, c := range []struct {
		fault, undo []string
		check       string
		level       doctor.Level
		code        int
		says        string
	}{
		{[]string{database + "SET synchronous_commit = off"}, []string{database + "RESET synchronous_commit"}, "durability", doctor.Failure, exitConfig, "synchronous_commit is off"},
		{
			[]string{database + "SET default_transaction_read_only = on"},
			[]string{"SET transaction_read_only = off; " + database + "RESET default_transaction_read_only"},
			"writes", doctor.Failure, exitConfig, "default_transaction_read_only",
		},
		{[]string{database + "SET statement_timeout = '10min'"}, []string{database + "RESET statement_timeout"}, "timeouts", doctor.Warning, 0, "statement_timeout 10m0s"},
		{[]string{database + "CONNECTION LIMIT 31"}, []string{database + "CONNECTION LIMIT -1"}, "connections", doctor.Failure, exitConfig, "may open 32 each"},
		{[]string{
			database + "CONNECTION LIMIT 40",
			"INSERT INTO safebox_replica (instance, version, since, seen_at, lanes, state, leader) SELECT 'r' || i, 'v', now(), now(), 4, 'ready', false FROM generate_series(1, 2) AS i",
		}, []string{database + "CONNECTION LIMIT -1", "DELETE FROM safebox_replica"}, "connections", doctor.Warning, 0, "2 replicas may open 32 each, 64 in all; 40 may be had"},
		{
			[]string{"ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()"},
			[]string{"ALTER SYSTEM RESET autovacuum", "SELECT pg_reload_conf()"},
			"vacuum", doctor.Warning, 0, "autovacuum",
		},
		{[]string{"UPDATE safebox_init SET state = 'failed', error = 'no room', code = 78"}, nil, "marker", doctor.Warning, 0, "failed to prepare the database: no room"},
		{[]string{"UPDATE safebox_init SET state = 'running'"}, []string{"UPDATE safebox_init SET state = 'ready', error = '', code = 0"}, "marker", doctor.Warning, 0, "is gone"},
		{[]string{"DELETE FROM alembic_version"}, nil, "alembic_version", doctor.Warning, 0, "puts it back"},
		{[]string{"INSERT INTO alembic_version VALUES ('20260416_0003')"}, nil, "alembic_version", doctor.OK, 0, "20260416_0003"},
	} {
		s.exec(c.fault...)
		eventually(t, c.check+" is found", func() (bool, string) {
			d, r := answer[diagnosis](s, "doctor")
			return d.line(c.check).Level == c.level, r.stdout
		})
		s.finds(c.check, c.level, c.code, c.says)
		s.exec(c.undo...)
	}
	s.finds("vacuum", doctor.OK, 0, "")

	db := s.sql()
	db.ExecContext(t.Context(), "CREATE TABLE twice AS SELECT 1 AS n FROM generate_series(1, 2)") //nolint:errcheck // what it leaves behind is the test's
	db.ExecContext(t.Context(), "CREATE UNIQUE INDEX CONCURRENTLY left_invalid ON twice (n)")     //nolint:errcheck // it fails, and leaves an index
	s.finds("indexes", doctor.Warning, 0, "left_invalid")
	s.exec("DROP TABLE twice")

	// What is wrong only after long is judged with less patience.
	s.exec("BEGIN; CREATE TABLE kept (n integer); PREPARE TRANSACTION 'left over'", "SELECT pg_create_physical_replication_slot('forgotten', true)")
	release := s.hold("SET LOCAL application_name = 'an idle shell'; LOCK TABLE nwcevent IN ACCESS SHARE MODE")
	s.finds("transactions", doctor.OK, 0, "an idle shell")
	u, err := storage.ParseURL(s.url)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{conf: config{Database: u, Direct: u, Pool: storage.DefaultPool}, instance: "examining"}
	a.log = slog.New(slog.DiscardHandler)
	var v storage.Vitals
	if err := a.with(t.Context(), a.options("doctor"), func(ctx context.Context, db storage.DB) (err error) {
		v, err = db.Vitals(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	d := diagnosis{Lines: doctor.Server(v, doctor.Plan{Pool: 1, Patience: time.Nanosecond, SlotHold: -1, Head: true})}
	for check, says := range map[string]string{"transactions": "an idle shell", "prepared transactions": "left over", "replication slots": "forgotten"} {
		if l := d.line(check); l.Level != doctor.Warning || !strings.Contains(l.Found, says) {
			t.Errorf("%+v", l)
		}
	}
	release()
	s.exec("ROLLBACK PREPARED 'left over'", "SELECT pg_drop_replication_slot('forgotten')")

	s.exec("CREATE ROLE guest LOGIN PASSWORD 'guest-pw'")
	_, after, _ := strings.Cut(s.url, "@")
	guest := newSite(t, "postgresql://guest:guest-pw@"+after)
	guest.finds("rights", doctor.Failure, exitConfig, "lacks SELECT on ")
	s.exec("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO guest", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	guest.finds("rights", doctor.Warning, 0, "may create nothing")
	guest.finds("rights", doctor.Warning, exitConfig, "may create nothing", "--strict")
	s.exec("GRANT CREATE ON SCHEMA public TO guest")
	guest.finds("rights", doctor.Warning, 0, "not the owner of")
	newSite(t, "postgresql://guest:wrong-pw@"+after).finds("reachable", doctor.Failure, exitConfig, "password")
	newSite(t, dbtest.PgBouncer(t, s.url, dbtest.TransactionMode, sessionSettings)).finds("reachable", doctor.Failure, exitConfig, "SAFEBOX_DATABASE_DIRECT")

	s.dropUniqueIndexes()
	s.insertWallet("npub-1", "amy")
	s.insertWallet("npub-2", "amy")
	s.finds("guards", doctor.Failure, exitData, "registeredsafebox.handle by 1 value")
	s.exec("DROP TABLE receiveofferbootstrap")
	s.finds("schema", doctor.Failure, exitData, "")
	server.Stop(dbtest.Fast)
	s.finds("reachable", doctor.Failure, exitUnreachable, "")
}

func TestADoctorExaminesDatabasesThatAreNotOursYetOrNotOfThisBuild(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		ours := func(d diagnosis) []doctor.Line { // what depends on the database, and not on the tests' server or volume
			return []doctor.Line{d.line("schema"), d.line("marker"), d.line("alembic_version"), d.line("guards")}
		}
		s := newSite(t, url)
		if s.dialect() == storage.SQLite {
			s.finds("reachable", doctor.Failure, exitUnreachable, "nothing was created")
			s.tidy()
			s.exec("PRAGMA user_version = 7") // makes the file
		}
		d, _ := answer[diagnosis](s, "doctor")
		if l := d.line("schema"); l.Level != doctor.Warning || !strings.Contains(l.Found, "no tables") {
			t.Errorf("empty: %+v", ours(d))
		}
		s.asAlembicLeftIt("20260310_0002")
		d, _ = answer[diagnosis](s, "doctor")
		if l := d.line("schema"); l.Level != doctor.Warning || !strings.Contains(l.Found, "20260310_0002") || d.line("guards").Level != doctor.OK {
			t.Errorf("of Alembic: %+v", ours(d))
		}
		s.migratedByALaterBuild("20261123_0004")
		d, _ = answer[diagnosis](s, "doctor")
		if l := d.line("schema"); l.Level != doctor.Warning || !strings.Contains(l.Found, later) {
			t.Errorf("of a newer build: %+v", ours(d))
		}
		s.exec("UPDATE safebox_init SET oldest_compatible = '" + later + "'")
		d, r := answer[diagnosis](s, "doctor")
		if l := d.line("schema"); l.Level != doctor.Failure || l.Kind != exitConfig || r.code != exitConfig {
			t.Errorf("of a build that is too new: exit %d, %+v", r.code, ours(d))
		}
	})
}

func TestADoctorJudgesTheSettings(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	s.ok("init")
	const long, short = "a-token-that-is-long-enough", "short-token"
	for _, c := range []struct {
		env   []string
		check string
		level doctor.Level
		code  int
	}{
		{[]string{"SAFEBOX_HTTP_ADDR=0.0.0.0:0"}, "address", doctor.Failure, exitConfig},
		{[]string{"SAFEBOX_HTTP_ADDR=0.0.0.0:0", "SAFEBOX_INGEST_TOKEN=" + long}, "address", doctor.OK, 0},
		{[]string{"SAFEBOX_INGEST_TOKEN=" + short}, "tokens", doctor.Warning, 0},
		{[]string{"SAFEBOX_INGEST_TOKEN=" + long, "SAFEBOX_ADMIN_TOKEN=" + long}, "tokens", doctor.Warning, 0},
		{[]string{"CURRENCY_CSV=none.csv"}, "seed", doctor.Failure, exitConfig},
	} {
		told := *s
		told.env = c.env
		told.finds(c.check, c.level, c.code, "")
		if text := told.run("doctor").stdout; strings.Contains(text, long) || strings.Contains(text, short) {
			t.Errorf("it tells a token:\n%s", text)
		}
	}
}

func TestADoctorsThresholds(t *testing.T) {
	file := func(change func(*storage.FileVitals)) storage.Vitals {
		v := storage.Vitals{Server: "SQLite 3", SQLite: storage.FileVitals{FileSystem: "ext", Free: 100 << 30, Total: 200 << 30}}
		change(&v.SQLite)
		return v
	}
	server := func(change func(*storage.ServerVitals)) storage.Vitals {
		v := storage.Vitals{Server: "PostgreSQL 15", PostgreSQL: storage.ServerVitals{
			Version: 150000, Schema: "public", MayCreate: true, RoleLimit: -1, DatabaseLimit: -1,
			Settings: map[string]string{"max_connections": "100", "autovacuum_freeze_max_age": "200000000", "client_connection_check_interval": "1000", "idle_in_transaction_session_timeout": "8000"},
		}}
		change(&v.PostgreSQL)
		return v
	}
	plan := doctor.Plan{Pool: 30, Head: true}
	for _, c := range []struct {
		lines []doctor.Line
		check string
		level doctor.Level
	}{
		{doctor.File(file(func(f *storage.FileVitals) { f.FileSystem, f.Network = "NFS", true })), "file system", doctor.Failure},
		{doctor.File(file(func(f *storage.FileVitals) { f.Memory = true })), "file system", doctor.Warning},
		{doctor.File(file(func(f *storage.FileVitals) { f.Layer = true })), "file system", doctor.Warning},
		{doctor.File(file(func(f *storage.FileVitals) { f.Free = 1<<30 - 1 })), "disk", doctor.Warning},
		{doctor.File(file(func(f *storage.FileVitals) { f.Free = 64<<20 - 1 })), "disk", doctor.Failure},
		{doctor.File(file(func(f *storage.FileVitals) { f.Free = -1 })), "disk", doctor.OK},
		{doctor.File(file(func(f *storage.FileVitals) { f.Log = 256<<20 + 1 })), "log", doctor.Warning},
		{doctor.File(file(func(f *storage.FileVitals) { f.Others = true })), "access", doctor.Warning},
		{doctor.Server(server(func(s *storage.ServerVitals) { s.Version = 139999 }), plan), "version", doctor.Failure},
		{doctor.Server(server(func(s *storage.ServerVitals) { s.Standby = true }), plan), "writes", doctor.Failure},
		{doctor.Server(server(func(s *storage.ServerVitals) { s.Settings["fsync"] = "off" }), plan), "durability", doctor.Failure},
		{doctor.Server(server(func(s *storage.ServerVitals) { s.FrozenAge = 400_000_001 }), plan), "vacuum", doctor.Warning},
		{doctor.Server(server(func(s *storage.ServerVitals) { s.FrozenAge = 1_500_000_001 }), plan), "vacuum", doctor.Failure},
		{doctor.Server(server(func(s *storage.ServerVitals) { s.Settings["tcp_keepalives_idle"] = "7200" }), plan), "liveness", doctor.Warning},
		{doctor.Server(server(func(s *storage.ServerVitals) { s.Settings["track_activities"] = "off" }), plan), "transactions", doctor.Warning},
		{doctor.Server(server(func(s *storage.ServerVitals) { s.MayCreate = false }), doctor.Plan{Pool: 30}), "rights", doctor.Failure},
		{[]doctor.Line{doctor.Clock(1500*time.Millisecond, 400*time.Millisecond)}, "clock", doctor.Warning},
		{[]doctor.Line{doctor.Clock(-1500*time.Millisecond, 600*time.Millisecond)}, "clock", doctor.OK},
	} {
		if l := (diagnosis{Lines: c.lines}).line(c.check); l.Level != c.level {
			t.Errorf("%s: %+v, want %s", c.check, l, c.level)
		}
	}
	wrong := func(level doctor.Level, kind int) doctor.Line { return doctor.Wrong("x", level, kind, "", "") }
	all := []doctor.Line{wrong(doctor.Failure, doctor.Data), wrong(doctor.Failure, doctor.Config), wrong(doctor.Warning, doctor.Unavailable)}
	for want, got := range map[string]int{
		"78": doctor.ExitCode(all, false), "69": doctor.ExitCode(all, true), "65": doctor.ExitCode(all[:1], false), "0": doctor.ExitCode(all[2:], false),
	} {
		if fmt.Sprint(got) != want {
			t.Errorf("exit %d, want %s", got, want)
		}
	}
}
