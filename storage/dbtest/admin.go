package dbtest

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// administer runs statements on a connection of their own.
func administer(url string, statements ...string) error {
	a := administrator{url: url}
	defer a.close()
	return a.do(statements...)
}

// administrator is a connection that is kept for statements about databases: a session costs more than such a statement does.
type administrator struct {
	url string

	mu   sync.Mutex
	conn *pgx.Conn // nil before the first statement
}

// do runs statements one after another.
func (a *administrator) do(statements ...string) error {
	return a.with(func(ctx context.Context, conn *pgx.Conn) error {
		for _, s := range statements {
			if _, err := conn.Exec(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *administrator) with(f func(context.Context, *pgx.Conn) error) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn == nil || a.conn.IsClosed() {
		if a.conn, err = pgx.Connect(ctx, a.url); err != nil {
			return err
		}
	}
	return f(ctx, a.conn)
}

func (a *administrator) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn != nil {
		_ = a.conn.Close(context.Background()) // its statements have their answers
		a.conn = nil
	}
}

// withDatabase replaces the name of the database in an URL.
func withDatabase(url, database string) string {
	url, query, has := strings.Cut(url, "?")
	scheme, rest, _ := strings.Cut(url, "://")
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		rest = rest[:i]
	}
	url = scheme + "://" + rest + "/" + database
	if has {
		url += "?" + query
	}
	return url
}
