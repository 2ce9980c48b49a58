package main

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/query"
)

// replica runs the initialisation protocol in the test's own process, until the test ends at the latest.
func (s *site) replica(name string, work func(context.Context) error) (done <-chan error) {
	s.t.Helper()
	u, err := storage.ParseURL(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	db, err := storage.Open(s.t.Context(), storage.Options{URL: u, Role: "worker", Instance: name, Logger: quiet})
	if err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(func() {
		cancel()
		db.Close()
	})
	go func() {
		o := initlock.Options{Digest: "d", Revision: "20270101_0009", Name: name, Logger: quiet}
		_, err := db.Initialise(ctx, o, func(ctx context.Context, _ *sql.DB) error { return work(ctx) })
		ended <- err
	}()
	return ended
}

func TestStatusShowsTheMarkerTheHolderAndTheWaiters(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		began, release := make(chan struct{}), make(chan struct{})
		first := s.replica("first", func(ctx context.Context) error {
			initlock.Note(ctx, "moving mountains")
			close(began)
			<-release
			return errors.New("the mountains are too heavy")
		})
		<-began
		second := s.replica("second", func(context.Context) error { return errors.New("the second led") })

		var st query.Status
		eventually(t, "the waiter is seen, where waiters can be known", func() (bool, string) {
			var r result
			st, r = answer[query.Status](s, "status")
			return r.code == 0 && (s.dialect() == storage.SQLite || slices.Equal(st.Init.Waiters, []string{"second"})), r.stdout + r.stderr
		})
		i := st.Init
		if st.Ready || i.State != initlock.Running || i.Epoch != 1 || !strings.Contains(i.Holder, "first") || i.Activity != "moving mountains" ||
			i.Since == nil || time.Since(*i.Since) > limit {
			t.Errorf("%+v", st)
		}
		if s.dialect() == storage.SQLite && i.Waiters != nil {
			t.Errorf("waiters of a SQLite file: %v", i.Waiters)
		}
		text := s.ok("status")
		for _, want := range []string{"running", "first", "since", "moving mountains"} {
			if !strings.Contains(text, want) {
				t.Errorf("does not say %q:\n%s", want, text)
			}
		}
		if s.dialect() == storage.PostgreSQL && !strings.Contains(text, "1 replica: second") {
			t.Errorf("does not name the waiter:\n%s", text)
		}

		close(release)
		if err := <-first; err == nil {
			t.Error("the leader succeeded")
		}
		var leader *initlock.LeaderError
		if err := <-second; !errors.As(err, &leader) {
			t.Errorf("the waiter ended with %v", err)
		}
		st, _ = answer[query.Status](s, "status")
		if i := st.Init; i.State != initlock.Failed || i.Holder != "" || i.Since != nil || len(i.Waiters) != 0 || !strings.Contains(st.Error, "too heavy") {
			t.Errorf("afterwards: %+v", st)
		}
		if text := s.ok("status"); !strings.Contains(text, "free") || !strings.Contains(text, "too heavy") {
			t.Errorf("afterwards:\n%s", text)
		}
	})
}

// The Python program takes the same lock, and a leader of ours has it before it writes the marker.
func TestStatusShowsTheHolderOnADatabaseWithoutTables(t *testing.T) {
	s := newSite(t, dbtest.PostgreSQL(t))
	conn, err := s.sql().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "SET application_name = 'uvicorn'"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "SELECT pg_advisory_lock(841337001)"); err != nil {
		t.Fatal(err)
	}
	st, r := answer[query.Status](s, "status")
	if i := st.Init; r.code != 0 || st.Ready || i.State != initlock.Absent || !strings.Contains(i.Holder, "uvicorn") || i.Since == nil || i.Waiters == nil {
		t.Errorf("exit %d, %+v\n%s", r.code, st, r.stderr)
	}
	text := s.ok("status")
	if !strings.Contains(text, "uvicorn") || strings.Contains(text, "safebox init") {
		t.Errorf("while another program is at it:\n%s", text)
	}
	if tables := s.column("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"); len(tables) != 0 {
		t.Errorf("status made %q", tables)
	}
}
