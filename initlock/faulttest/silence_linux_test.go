package faulttest

import (
	"context"
	"database/sql"
	"syscall"
	"testing"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage/dbtest"
)

// lockFree is the longest that the lock of a leader that fell silent may stay taken.
const lockFree = 10 * time.Second

// Number 4 of the package's promises.
func TestTheLockOfALeaderThatFallsSilentIsFreeWithinTenSeconds(t *testing.T) {
	t.Parallel()
	n := max(1, moments(1)/25)
	random := dice(t)
	fresh, whole := undisturbed(t, dbtest.PostgreSQL(t))
	t.Logf("%d random moments for each way to fall silent", n)
	stalled := func() fault {
		var p *proxy
		return fault{
			through: func(t *testing.T, url string) string {
				p = newProxy(t, hostOf(t, url))
				return withHost(t, url, p.address())
			},
			strike: func(t *testing.T, _ *victim, _ string) { p.stall(t) },
		}
	}
	cutOff := func() fault {
		var h *hole
		return fault{
			through: func(t *testing.T, url string) string {
				h = newHole(t, hostOf(t, url))
				return withHost(t, url, h.address())
			},
			strike: func(t *testing.T, _ *victim, _ string) { h.open(t) },
		}
	}
	frozen := func() fault {
		return fault{strike: func(_ *testing.T, v *victim, _ string) { v.signal(syscall.SIGSTOP) }}
	}
	for _, c := range []struct {
		name  string
		fault func() fault
		first string // a statement that runs when it is struck
	}{
		{"every packet is lost", cutOff, ""},
		{"every packet is lost while a statement runs", cutOff, "SELECT pg_sleep(50)"},
		{"the proxy in between passes nothing on", stalled, ""},
		{"the process is frozen", frozen, ""},
		{"the process is frozen while a short statement runs", frozen, "SELECT pg_sleep(1)"},
	} {
		for range n {
			moment := time.Duration((0.1 + 0.6*random.Float64()) * float64(whole))
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				for at := moment; !fallSilent(t, c.fault(), c.first, at, fresh); at /= 2 {
					t.Logf("it was done before %v: once more, earlier", at)
				}
			})
		}
	}
}

// fallSilent silences a leader and measures how long its lock outlives that; false: it was done before that.
func fallSilent(t *testing.T, f fault, first string, moment time.Duration, fresh []string) bool {
	url := dbtest.PostgreSQL(t)
	way := url
	if f.through != nil {
		way = f.through(t, url)
	}
	v := newVictim(t, way, "victim", victimFirst+"="+first)
	db := behind(t, url)
	if err := v.begin(); err != nil {
		t.Fatal(err)
	}
	at := time.NewTimer(moment)
	v.leads(t)
	if first != "" {
		runs := false
		eventually(t, "the statement runs, or is over with all the rest", limit, func() bool {
			runs = one(t, db, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'") == "1"
			return runs || v.over()
		})
		if !runs {
			return false
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	next := make(chan error, 1)
	go func() { next <- survive(ctx, url) }()
	<-at.C
	f.strike(t, v, url)
	struck := time.Now()
	const holders = `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND a.datname = current_database() AND a.application_name = 'safebox/init/victim'`
	inTime := one(t, db, holders) != "0"
	if inTime {
		eventually(t, "the lock is free", lockFree, func() bool { return one(t, db, holders) == "0" })
		t.Logf("struck at %v, the lock was free %v later", moment, time.Since(struck).Round(10*time.Millisecond))
	}
	if err := <-next; err != nil {
		t.Errorf("the process that waited: %v", err)
	}
	if !inTime {
		v.signal(syscall.SIGCONT)
		return false
	}
	sound(t, db, dialect(url), fresh)
	v.signal(syscall.SIGCONT)
	if code := v.wait(t); code != exitLost {
		t.Errorf("the leader ended with %d; want %d; its log:\n%s", code, exitLost, v.log.text())
	}
	t.Logf("the leader itself ended %v after it was struck", time.Since(struck).Round(10*time.Millisecond))
	gone(t, url)
	sound(t, db, dialect(url), fresh)
	return true
}

// The other side of the promise: a leader that lives keeps its lock, though its work says nothing for longer.
func TestALeaderThatComputesForLongKeepsItsLock(t *testing.T) {
	t.Parallel()
	url := dbtest.PostgreSQL(t)
	log := newJournal()
	db, err := open(t.Context(), url, "thinker", log)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	res, err := db.Initialise(t.Context(), initlock.Options{Digest: "d"}, func(ctx context.Context, conn *sql.DB) error {
		computed := time.NewTimer(lockFree)
		<-computed.C
		_, err := conn.ExecContext(ctx, "CREATE TABLE computed (n integer)")
		return err
	})
	if err != nil || res.Outcome != initlock.OutcomeLed || res.Record.Epoch != 1 {
		t.Errorf("%+v, %v; log:\n%s", res, err, log.text())
	}
}
