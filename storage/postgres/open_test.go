package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// open opens a handle that is closed when the test ends.
func open(t *testing.T, url string, o storage.Options) *DB {
	t.Helper()
	db, err := openURL(t, url, o)
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

func openURL(t *testing.T, url string, o storage.Options) (*DB, error) {
	t.Helper()
	u, err := storage.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.URL = u
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return Open(t.Context(), o)
}

func run(t *testing.T, db *DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := db.exec(t.Context(), storage.Query{Name: "setup", SQL: s}); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func begin(t *testing.T, db *DB, isolation string) pgx.Tx {
	t.Helper()
	tx, err := db.pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.TxIsoLevel(isolation)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

// eventually waits for what happens in the background.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !dbtest.Until(time.Minute, holds) {
		t.Fatalf("it did not come about that %s", what)
	}
}

func policy(size, overflow int, timeout time.Duration) storage.Pool {
	return storage.Pool{Size: size, MaxOverflow: overflow, Recycle: -1, Timeout: timeout}
}

// deserted is an address where nobody listens: a port that was free a moment ago may be another program's by now.
const deserted = "127.0.0.1:1"

func TestOpenGivesUpWhereNoServerAnswers(t *testing.T) {
	var log bytes.Buffer
	_, err := openURL(t, "postgresql://me:hunter2@"+deserted+"/db", storage.Options{
		Policy: policy(1, 0, 2*time.Second), Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if !errors.Is(err, storage.ErrUnreachable) || !strings.Contains(err.Error(), deserted) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(log.String(), "trying again") || !strings.Contains(log.String(), deserted) {
		t.Errorf("the log says %q", log.String())
	}
	if strings.Contains(log.String()+err.Error(), "hunter2") {
		t.Errorf("the password is shown: %s %v", log.String(), err)
	}
}

func TestOpenStopsWaitingWhenItsCallerDoes(t *testing.T) {
	u, err := storage.ParseURL("postgresql://" + deserted + "/db")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err = Open(ctx, storage.Options{URL: u, Logger: slog.New(slog.DiscardHandler)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestOpenWaitsForAServerThatStarts(t *testing.T) {
	s := dbtest.Server(t, dbtest.Options{})
	url := s.Database(t)
	s.Stop(dbtest.Fast)
	retried := make(chan struct{})
	var once sync.Once
	started := make(chan error, 1)
	go func() {
		<-retried
		started <- s.Start()
	}()
	db := open(t, url, storage.Options{Policy: policy(1, 0, time.Minute), Logger: slog.New(signalHandler{slog.DiscardHandler, func() { once.Do(func() { close(retried) }) }})})
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// signalHandler calls a function for each record.
type signalHandler struct {
	slog.Handler
	signal func()
}

func (h signalHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h signalHandler) Handle(context.Context, slog.Record) error {
	h.signal()
	return nil
}

func TestOpenSaysAtOnceWhatNoSecondAttemptMends(t *testing.T) {
	s := dbtest.Server(t, dbtest.Options{Settings: map[string]string{"password_encryption": "scram-sha-256"}})
	admin := open(t, s.URL(""), storage.Options{})
	run(t, admin, `CREATE ROLE limited LOGIN PASSWORD 'right'`, `CREATE DATABASE closed`, `REVOKE CONNECT ON DATABASE closed FROM PUBLIC`)
	at := fmt.Sprintf("@127.0.0.1:%d/", s.Port())
	for _, c := range []struct{ name, url, says string }{
		{"a wrong password", "postgresql://limited:hunter2" + at + "postgres", `check the user "limited" and its password`},
		{"an unknown user", "postgresql://nobody:hunter2" + at + "postgres", `check the user "nobody"`},
		{"an unknown database", "postgresql://limited:right" + at + "nowhere", "create the database"},
		{"a database that the user may not enter", "postgresql://limited:right" + at + "closed", "CONNECT"},
		{"encryption that the server does not offer", "postgresql://limited:right" + at + "postgres?sslmode=require", "sslmode"},
		{"a setting that the server does not know", "postgresql://limited:right" + at + "postgres?options=-c%20nosuch%3D1", "option in DATABASE"},
		{"a certificate that is not there", "postgresql://h/db?sslmode=verify-full&sslrootcert=/nowhere.pem", "/nowhere.pem"},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			_, err := openURL(t, c.url, storage.Options{})
			if !errors.Is(err, storage.ErrConfig) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
			if strings.Contains(fmt.Sprint(err), "hunter2") {
				t.Errorf("the password is shown: %v", err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s to say so", took)
			}
		})
	}
	open(t, "postgresql://limited:right"+at+"postgres", storage.Options{})
	open(t, "postgresql://postgres@/postgres?host="+s.SocketDir()+"&port="+fmt.Sprint(s.Port()), storage.Options{})
	open(t, fmt.Sprintf("postgresql://postgres@127.0.0.1:1,127.0.0.1:%d/postgres", s.Port()), storage.Options{})
}

func TestSessionsAreSetUpToLoseTheirLocksInTime(t *testing.T) {
	db := open(t, dbtest.PostgreSQL(t), storage.Options{Role: "worker", Instance: "replica-1"})
	for name, want := range map[string]string{
		"application_name":                    "safebox/worker/replica-1",
		"client_connection_check_interval":    "1s",
		"idle_in_transaction_session_timeout": "8s",
		"tcp_keepalives_idle":                 "4",
		"tcp_keepalives_interval":             "1",
		"tcp_keepalives_count":                "3",
		"tcp_user_timeout":                    "6500", // milliseconds
	} {
		var got string
		if err := db.queryRow(t.Context(), storage.Query{Name: "probe", SQL: "SELECT current_setting($1)"}, []any{name}, &got); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", name, got, want, err)
		}
	}
}

func TestApplicationNamesAreCutToWhatTheServerKeeps(t *testing.T) {
	name := applicationName("worker", strings.Repeat("ü", 40))
	if len(name) > 63 || !strings.HasPrefix(name, "safebox/worker/ü") || strings.ContainsRune(name, '\uFFFD') {
		t.Errorf("got %q (%d bytes)", name, len(name))
	}
	if got := applicationName("", ""); got != "safebox" {
		t.Errorf("got %q", got)
	}
}

func TestServersThatAreTooOldAreRefused(t *testing.T) {
	for version, refused := range map[string]bool{"13.9": true, "9.6.24": true, "14.0": false, "15.18 (Debian 15.18-0+deb12u1)": false, "17beta1": false, "": false} {
		if err := checkVersion(version); (err != nil) != refused {
			t.Errorf("%q: %v", version, err)
		}
	}
}
