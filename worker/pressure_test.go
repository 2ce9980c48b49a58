package worker_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/api"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// holdAppends lets another session keep the log from growing until the returned function is called.
func holdAppends(t *testing.T, db storage.DB) (release func()) {
	t.Helper()
	lock := map[storage.Dialect]string{
		storage.PostgreSQL: "LOCK TABLE event_log IN EXCLUSIVE MODE",
		storage.SQLite:     "UPDATE event_cursor SET position = position", // whatever it writes, it has the file's write lock
	}[db.Dialect()]
	held, done, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		o := initlock.Options{
			Digest: "held", Force: true, Name: "holder", Logger: silent,
			Revision: migrations.Latest(), OldestCompatible: migrations.OldestCompatible,
		}
		_, err := db.Initialise(storagetest.Context(t), o,
			func(ctx context.Context, conn *sql.DB) error {
				tx, err := conn.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				defer tx.Rollback()
				if _, err := tx.ExecContext(ctx, lock); err != nil {
					return err
				}
				close(held)
				<-done
				return nil
			})
		ended <- err
	}()
	select {
	case <-held:
	case err := <-ended:
		t.Fatal(err)
	}
	return func() {
		close(done)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestAppendsPressBackWhileTheDatabaseIsHeldUpAndLoseNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := bus.New(db, bus.Options{Logger: silent})
		t.Cleanup(func() { b.Close() })
		// Room for the bodies of ten requests.
		body := func(i int) string {
			return fmt.Sprintf(`{"specversion":"1.0","source":"/test","id":"%d","type":%q,"subject":%q,"data":{"amount":1,"memo":%q}}`,
				i, event.TypeFundsCredited, alice, strings.Repeat("x", 500))
		}
		const room = 10
		server := httptest.NewServer(api.New(api.Options{
			Appender: b, Logger: silent, MaxHeld: room * int64(len(body(10))),
		}))
		t.Cleanup(server.Close)
		client := server.Client()
		post := func(i int) (status int, retryAfter string) {
			req, err := http.NewRequestWithContext(storagetest.Context(t), http.MethodPost, server.URL+"/v1/events", strings.NewReader(body(i)))
			if err != nil {
				t.Error(err)
				return 0, ""
			}
			req.Header.Set("Content-Type", "application/cloudevents+json")
			res, err := client.Do(req)
			if err != nil {
				t.Error(err)
				return 0, ""
			}
			defer res.Body.Close()
			_, _ = io.Copy(io.Discard, res.Body) // so that the connection is used again
			return res.StatusCode, res.Header.Get("Retry-After")
		}

		release := holdAppends(t, db)
		const clients = 3 * room
		type answer struct {
			i, status  int
			retryAfter string
		}
		answers := make(chan answer, clients)
		for i := range clients {
			go func() {
				status, after := post(i + 10)
				answers <- answer{i + 10, status, after}
			}()
		}
		var again []int
		refused := func(a answer) bool {
			if a.status != http.StatusServiceUnavailable || a.retryAfter == "" {
				return false
			}
			again = append(again, a.i)
			return true
		}
		for range clients - room { // these at the least are answered while the lock is held
			if a := <-answers; !refused(a) {
				t.Errorf("event %d: %d, retry after %q, while the database is held up; want 503 and a time", a.i, a.status, a.retryAfter)
			}
		}
		release()
		for range room {
			if a := <-answers; a.status != http.StatusCreated && !refused(a) {
				t.Errorf("event %d: %d after the lock was gone, want 201", a.i, a.status)
			}
		}
		for _, i := range again {
			if status, _ := post(i); status != http.StatusCreated {
				t.Errorf("event %d, sent again: %d, want 201", i, status)
			}
		}
		if n, err := worker.Backlog(storagetest.Context(t), db); err != nil || n != clients {
			t.Errorf("%d events in the log, %v; want %d", n, err, clients)
		}
	})
}
