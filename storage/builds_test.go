package storage_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/initlock/locktest"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	_ "github.com/safebox/safebox/storage/postgres"
	_ "github.com/safebox/safebox/storage/sqlite"
)

// build is one of the two programs of a rolling deploy: what it tells the protocol, and what it migrates to.
type build struct {
	lock   initlock.Options
	target string
}

const olderRevision = "20260416_0003"

// older is the program before revision 20261123_0004, newer the one that brings it; programs of revision oldest and
// later still work with what newer makes.
func older() build {
	return build{initlock.Options{Digest: "older", Revision: olderRevision, OldestCompatible: "20260220_0001"}, olderRevision}
}

func newer(oldest string) build {
	return build{initlock.Options{Digest: "newer", Revision: migrations.Latest(), OldestCompatible: oldest}, "head"}
}

// start starts a replica of the build on the database, up to where it is ready.
func (b build) start(ctx context.Context, t *testing.T, url string, progress func(string)) (initlock.Result, error) {
	t.Helper()
	u, err := storage.ParseURL(url)
	if err != nil {
		return initlock.Result{}, err
	}
	quiet := slog.New(slog.DiscardHandler)
	db, err := storage.Open(ctx, storage.Options{URL: u, Role: "worker", Instance: b.lock.Digest, Logger: quiet})
	if err != nil {
		return initlock.Result{}, err
	}
	defer db.Close()
	return db.Initialise(ctx, b.lock, func(ctx context.Context, session *sql.DB) error {
		o := migrations.Options{Dialect: db.Dialect(), Logger: quiet, Progress: progress}
		_, err := migrations.Upgrade(ctx, session, o, b.target)
		return err
	})
}

// ended is how a start went.
type ended struct {
	initlock.Result
	err error
}

// restart starts a replica that has nothing to migrate.
func (b build) restart(ctx context.Context, t *testing.T, url string) (e ended) {
	t.Helper()
	e.Result, e.err = b.start(ctx, t, url, func(activity string) { t.Errorf("%s of the older build", activity) })
	return e
}

func (e ended) serves(t *testing.T, when string) {
	t.Helper()
	if e.err != nil || e.Outcome != initlock.OutcomeNewer || e.Record.Revision != migrations.Latest() {
		t.Errorf("the older replica %s: %+v, %v", when, e.Result, e.err)
	}
}

func (e ended) refuses(t *testing.T, when string) {
	t.Helper()
	var bad *initlock.IncompatibleError
	if !errors.As(e.err, &bad) || bad.ExitCode() != 78 ||
		!strings.Contains(e.err.Error(), olderRevision) || !strings.Contains(e.err.Error(), migrations.Latest()) {
		t.Errorf("the older replica %s: %+v, %v", when, e.Result, e.err)
	}
}

func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// raw opens the database as a program that knows the older schema does.
func raw(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:///"); ok {
		driver, dsn = "sqlite3", "file:"+path+"?_pragma=busy_timeout(10000)&_txlock=immediate"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// atWork is a replica of the older build at its work: it registers wallets, one after another, until it is stopped.
type atWork struct {
	registered chan int // a number for every wallet
	stop       context.CancelFunc
	all        sync.WaitGroup
}

func startWork(t *testing.T, url string) *atWork {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	w, db := &atWork{registered: make(chan int, 1<<20), stop: stop}, raw(t, url)
	w.all.Go(func() {
		for n := 1; ctx.Err() == nil; n++ {
			_, err := db.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf(`INSERT INTO registeredsafebox (npub, handle, home_relay, onboard_code, balance)
				VALUES ('npub1older%[1]d', 'older-%[1]d', 'wss://relay.example.org', 'x', %[1]d)`, n))
			if err != nil {
				t.Errorf("the older build's wallet %d: %v", n, err)
				return
			}
			w.registered <- n
		}
	})
	return w
}

func (w *atWork) end() { w.stop(); w.all.Wait() }

func TestANewerBuildMigratesWhileTheOlderWorksAndOlderReplicasComeAndGo(t *testing.T) {
	for _, c := range []struct {
		name, oldest string
		serves       bool
	}{
		{"an older replica that the new schema suits serves on", olderRevision, true},
		{"an older replica that the new schema does not suit exits and names both revisions", migrations.Latest(), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, url string) {
				ctx := patience(t)
				if res, err := older().start(ctx, t, url, nil); err != nil || res.Outcome != initlock.OutcomeLed {
					t.Fatalf("the first replica: %+v, %v", res, err)
				}
				work := startWork(t, url)
				defer work.end()
				<-work.registered

				// One more older replica is started in the midst of the migration: it waits for it.
				waiting, late := locktest.NewWatcher(), make(chan ended, 1)
				var once sync.Once
				res, err := newer(c.oldest).start(ctx, t, url, func(string) {
					once.Do(func() {
						b := older()
						b.lock.Observer = waiting
						go func() { late <- b.restart(ctx, t, url) }()
						<-waiting.Waiting
					})
				})
				if err != nil || res.Outcome != initlock.OutcomeLed || res.Record.Revision != migrations.Latest() {
					t.Fatalf("the newer build: %+v, %v", res, err)
				}
				for when, e := range map[string]ended{"started in its midst": <-late, "started after it": older().restart(ctx, t, url)} {
					if c.serves {
						e.serves(t, when)
					} else {
						e.refuses(t, when)
					}
				}
				again, err := newer(c.oldest).start(ctx, t, url, nil)
				if err != nil || again.Outcome != initlock.OutcomeAlreadyReady || again.Record.Epoch != res.Record.Epoch {
					t.Errorf("the newer build, restarted: %+v, %v", again, err)
				}
				work.end()
				var wallets int
				err = raw(t, url).QueryRowContext(ctx, "SELECT count(*) FROM registeredsafebox WHERE npub LIKE 'npub1older%'").Scan(&wallets)
				if n := len(work.registered) + 1; err != nil || wallets != n {
					t.Errorf("%d wallets of the older build are there, want %d (%v)", wallets, n, err)
				}
			})
		})
	}
}
