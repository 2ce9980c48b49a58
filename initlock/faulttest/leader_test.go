package faulttest

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage/dbtest"
)

// fault is something that happens to a victim.
type fault struct {
	// strike makes it happen.
	strike func(t *testing.T, v *victim, url string)
	// through gives the URL by which the victim reaches the database; nil: the database's own.
	through func(t *testing.T, url string) string
	deadly  bool // the victim is killed
}

func TestALeaderKilledAtARandomMomentIsReplaced(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, first string) {
		database := dbtest.PostgreSQL
		if dialect(first) == "sqlite" {
			database = dbtest.SQLite
		}
		atRandomMoments(t, database, func(testing.TB) fault {
			return fault{deadly: true, strike: func(_ *testing.T, v *victim, _ string) { v.signal(syscall.SIGKILL) }}
		})
	})
}

func TestALeaderWhoseSessionEndsAtARandomMomentIsReplaced(t *testing.T) {
	atRandomMoments(t, dbtest.PostgreSQL, func(testing.TB) fault {
		return fault{strike: func(t *testing.T, _ *victim, url string) {
			exec(t, behind(t, url), `SELECT pg_terminate_backend(l.pid) FROM pg_locks l
				WHERE l.locktype = 'advisory' AND l.granted AND l.objid = 841337001
				AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
		}}
	})
}

func TestALeaderWhoseConnectionsAreCutAtARandomMomentIsReplaced(t *testing.T) {
	atRandomMoments(t, dbtest.PostgreSQL, func(testing.TB) fault {
		var p *proxy
		return fault{
			through: func(t *testing.T, url string) string {
				p = newProxy(t, hostOf(t, url))
				return withHost(t, url, p.address())
			},
			strike: func(t *testing.T, _ *victim, _ string) { p.cut(t) },
		}
	})
}

func hostOf(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func withHost(t *testing.T, database, host string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = host
	return u.String()
}

// atOnce is how many victims are about at the same time: most of the time they wait for the database, or sleep.
const atOnce = 4

// atRandomMoments lets a fault happen at random moments of a victim's initialisation, each time on a fresh database.
func atRandomMoments(t *testing.T, database func(testing.TB) string, makeFault func(testing.TB) fault) {
	t.Helper()
	n := moments(4)
	random := dice(t)
	fresh, whole := undisturbed(t, database(t))
	t.Logf("%d random moments of an initialisation that takes %v", n, whole)
	places := make(chan struct{}, atOnce)
	t.Run("struck at", func(t *testing.T) {
		for range n {
			moment := time.Duration(random.Float64() * float64(whole))
			t.Run(moment.String(), func(t *testing.T) {
				t.Parallel()
				places <- struct{}{}
				defer func() { <-places }()
				// Its cleanups end what it started before the next one begins.
				t.Run("and recovered from", func(t *testing.T) { strikeAt(t, database(t), makeFault(t), moment, fresh) })
			})
		}
	})
}

// undisturbed tells what a database shows that nothing happened to, and how long its initialisation took.
func undisturbed(t *testing.T, url string) (fresh []string, took time.Duration) {
	t.Helper()
	v := newVictim(t, url, "undisturbed")
	began := time.Now()
	if err := v.begin(); err != nil {
		t.Fatal(err)
	}
	if code := v.wait(t); code != exitReady {
		t.Fatalf("exit %d; log:\n%s", code, v.log.text())
	}
	took = time.Since(began)
	return describe(t, behind(t, url), dialect(url)), took
}

// strikeAt strikes a victim at a moment of its initialisation while another process waits for it, and holds both, and
// the database, to what the package promises.
func strikeAt(t *testing.T, url string, f fault, moment time.Duration, fresh []string) {
	way := url
	if f.through != nil {
		way = f.through(t, url)
	}
	v := newVictim(t, way, "victim")
	next := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	at := time.NewTimer(moment)
	defer at.Stop()
	if err := v.begin(); err != nil {
		t.Fatal(err)
	}
	struck := false
	select {
	case <-v.lines: // it leads: the next process comes too late
	case <-at.C:
		f.strike(t, v, url)
		struck = true
	}
	go func() { next <- survive(ctx, url) }()
	if !struck {
		<-at.C
		f.strike(t, v, url)
	}
	if err := <-next; err != nil {
		t.Errorf("the process that waited: %v", err)
	}
	code := v.wait(t)
	if ok := code == exitReady || code == exitLost && !f.deadly || code == -1 && f.deadly; !ok {
		t.Errorf("the victim ended with %d; its log:\n%s", code, v.log.text())
	}
	gone(t, url)
	db := behind(t, url)
	sound(t, db, dialect(url), fresh)
	if t.Failed() {
		t.Logf("struck at %v; the victim's log:\n%s", moment, v.log.text())
	}
}

// survive initialises the database as the process that nothing happens to.
func survive(ctx context.Context, url string) error {
	db, err := open(ctx, url, "survivor", io.Discard)
	if err != nil {
		return err
	}
	defer db.Close()
	res, err := initialise(ctx, db, "survivor", func(int64) {})
	if err == nil && res.Record.State != initlock.Ready {
		err = fmt.Errorf("it is done and the marker says %q", res.Record.State)
	}
	return err
}

// gone waits until no session of a victim is left on the server, so that nothing of it can be committed any more.
func gone(t *testing.T, url string) {
	t.Helper()
	if dialect(url) != "postgresql" {
		return
	}
	db := behind(t, url)
	eventually(t, "the victim's sessions end", limit, func() bool {
		return one(t, db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
			AND application_name LIKE 'safebox/%/victim'`) == "0"
	})
}
