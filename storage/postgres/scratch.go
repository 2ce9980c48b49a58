package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/safebox/safebox/storage"
)

func init() { storage.RegisterScratch(storage.PostgreSQL, scratch) }

// scratch creates a database. Dropping it ends the sessions that are still in it.
func scratch(ctx context.Context, on storage.URL, name string) (func(context.Context) error, error) {
	quoted := pgx.Identifier{name}.Sanitize()
	if err := administer(ctx, on, "CREATE DATABASE "+quoted); err != nil {
		kind := storage.ErrUnreachable
		var answer *pgconn.PgError
		if errors.As(err, &answer) {
			kind = storage.ErrConfig
		}
		return nil, fmt.Errorf("%w: creating the database %s on the server of %s: %w (the role needs CREATEDB)", kind, name, on, sanitize(err))
	}
	return func(ctx context.Context) error {
		if err := administer(ctx, on, "DROP DATABASE IF EXISTS "+quoted+" WITH (FORCE)"); err != nil {
			return fmt.Errorf("dropping the database %s on the server of %s: %w", name, on, err)
		}
		return nil
	}, nil
}

// administer runs one statement on a connection of its own: neither statement may stand in a transaction.
func administer(ctx context.Context, on storage.URL, statement string) error {
	config, err := connConfig(on, "scratch", "", nil)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the statement's own error tells
	_, err = conn.Exec(ctx, statement)
	return err
}
