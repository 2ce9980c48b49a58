package faulttest

import (
	"fmt"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// wallet is the statement that adds a wallet to a database at the revision before this project's first.
func wallet(id int, npub, handle string) string {
	return fmt.Sprintf(`INSERT INTO registeredsafebox (id, npub, handle, home_relay, onboard_code, balance)
		VALUES (%d, '%s', '%s', 'wss://relay.example.org', 'x', 5)`, id, npub, handle)
}

// withDuplicates is a database in which two wallets have one handle, and two others one npub.
func withDuplicates(t *testing.T, url string) {
	t.Helper()
	ok(t, url, "migrate", "upgrade", older)
	exec(t, behind(t, url),
		"DROP INDEX uq_registeredsafebox_npub", "DROP INDEX ix_registeredsafebox_npub",
		"DROP INDEX uq_registeredsafebox_handle", "DROP INDEX ix_registeredsafebox_handle",
		wallet(1, "npub1a", "fern-lynx-20"), wallet(2, "npub1b", "fern-lynx-20"), wallet(3, "npub1c", "c"), wallet(4, "npub1c", "d"))
}

// holdUp keeps a leader from looking at the wallets, or from beginning at all, so that others come to wait for it.
func holdUp(t *testing.T, url string) (release func()) {
	t.Helper()
	db := behind(t, url)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	statement := "BEGIN; LOCK TABLE registeredsafebox IN ACCESS EXCLUSIVE MODE"
	if dialect(url) == storage.SQLite {
		statement = "BEGIN IMMEDIATE"
	}
	if _, err := conn.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Error(err)
		}
		conn.Close()
	}
}

var violation = regexp.MustCompile(`(?m)^  registeredsafebox\..*$`)

func TestAFailedGuardEndsTheLeaderAndItsWaitersAtOnceWithOneList(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		withDuplicates(t, url)
		release := holdUp(t, url)
		all := make([]*running, 8)
		all[0] = start(t, url, "init")
		locked(t, url)
		for i := range all[1:] {
			all[i+1] = start(t, url, "init")
			all[i+1].await(t, "another process is initialising the database")
		}
		release()
		for i, p := range all {
			if code := p.wait(t); code != 65 {
				t.Errorf("process %d ended with %d:\n%s", i, code, p.log.text())
			}
		}
		want := violation.FindAllString(all[0].log.text(), -1)
		if len(want) != 2 || !strings.Contains(want[0]+want[1], `"fern-lynx-20": 2 rows, ids 1, 2`) || !strings.Contains(want[0]+want[1], `"npub1c": 2 rows, ids 3, 4`) {
			t.Errorf("the leader lists %q", want)
		}
		first, last := all[0].when, all[0].when
		for i, p := range all[1:] {
			if got := violation.FindAllString(p.log.text(), -1); !slices.Equal(got, want) {
				t.Errorf("waiter %d lists %q, the leader %q", i, got, want)
			}
			if !strings.Contains(p.log.text(), "the leader ") {
				t.Errorf("waiter %d found the failure again instead of hearing of it:\n%s", i, p.log.text())
			}
			if p.when.Before(first) {
				first = p.when
			}
			if p.when.After(last) {
				last = p.when
			}
		}
		if took := last.Sub(first); took > 10*time.Second {
			t.Errorf("between the first end and the last there were %v", took)
		} else {
			t.Logf("all ended within %v", took)
		}
		db := behind(t, url)
		if got := one(t, db, "SELECT state || ' ' || code || ' ' || epoch FROM safebox_init"); got != "failed 65 2" {
			t.Errorf("the marker says %s", got)
		}

		exec(t, db, "UPDATE registeredsafebox SET handle = 'birch-owl-90' WHERE id = 2", "DELETE FROM registeredsafebox WHERE id = 4")
		ok(t, url, "init")
		if got := one(t, db, "SELECT state || ' ' || epoch FROM safebox_init"); got != "ready 3" {
			t.Errorf("after the rows were mended the marker says %s", got)
		}
	})
}

// locked waits until a process holds the lock, and is held up by holdUp.
func locked(t *testing.T, url string) {
	t.Helper()
	if dialect(url) == storage.SQLite {
		eventually(t, "the leader has the lock", limit, func() bool { return strings.Contains(lockText(t, url), "holder: ") })
		return
	}
	db := behind(t, url)
	eventually(t, "the leader waits to look at the wallets", limit, func() bool {
		return one(t, db, `SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
			WHERE c.relname = 'registeredsafebox' AND NOT l.granted`) == "1"
	})
}

func TestADumpTakenInTheMidstOfAnInitialisationStarts(t *testing.T) {
	t.Parallel()
	t.Run("postgresql", func(t *testing.T) {
		server := dbtest.Server(t, dbtest.Options{})
		url, copied := server.Database(t), server.Database(t)
		v, release := underWay(t, url)
		dump := filepath.Join(t.TempDir(), "dump.sql")
		v.signal(syscall.SIGSTOP) // pg_dump fails by itself where a table becomes another under its snapshot
		shell(t, dbtest.Program(t, "pg_dump"), "--file="+dump, url)
		v.signal(syscall.SIGCONT)
		shell(t, dbtest.Program(t, "psql"), "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--file="+dump, copied)
		startsCopy(t, copied)
		release()
	})
	t.Run("sqlite", func(t *testing.T) {
		url := dbtest.SQLite(t)
		_, release := underWay(t, url)
		path := filepath.Join(t.TempDir(), "restored.db")
		exec(t, behind(t, url), "VACUUM INTO '"+path+"'")
		startsCopy(t, "sqlite:///"+path)
		release()
	})
}

// underWay is a database whose leader is at work, and has to end well after the release.
func underWay(t *testing.T, url string) (v *victim, release func()) {
	t.Helper()
	ok(t, url, "migrate", "upgrade", older)
	v = newVictim(t, url, "victim")
	if err := v.begin(); err != nil {
		t.Fatal(err)
	}
	v.leads(t)
	return v, func() {
		if code := v.wait(t); code != exitReady {
			t.Errorf("the leader of the original ended with %d:\n%s", code, v.log.text())
		}
	}
}

func startsCopy(t *testing.T, url string) {
	t.Helper()
	db := behind(t, url)
	if got := one(t, db, "SELECT state FROM safebox_init"); got != "running" {
		t.Fatalf("the marker of the copy says %s, and shows nothing", got)
	}
	began := time.Now()
	ok(t, url, "init")
	if got := one(t, db, "SELECT state || ' ' || epoch FROM safebox_init"); got != "ready 3" {
		t.Errorf("the marker says %s", got)
	}
	t.Logf("ready after %v", time.Since(began))
}

func shell(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := osexec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}
