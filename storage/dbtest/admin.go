package dbtest

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// administer runs one statement on a connection of its own.
func administer(url, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // the statement has its answer
	_, err = conn.Exec(ctx, statement)
	return err
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
