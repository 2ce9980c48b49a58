package dbtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Fill makes a database that nobody has worked with yet what fill makes of one, and tells whether it did. fill does it once
// in a test process, on a database that is kept under the name, and must leave no connection to it open; every other is a
// copy, which costs a tenth. It leaves alone what it does not know to be new: a database that somebody was connected to, one
// behind a pooler, one on a server of the test's own.
func Fill(tb testing.TB, url, name string, fill func(url string) error) bool {
	tb.Helper()
	if path, ok := strings.CutPrefix(url, "sqlite:///"); ok {
		return fillFile(tb, path, name, fill)
	}
	common.mu.Lock()
	s := common.server
	common.mu.Unlock()
	if s == nil || !strings.HasPrefix(url, s.URL(prefix())) {
		return false
	}
	filled, err := s.fill(url[strings.LastIndexByte(url, '/')+1:], name, fill)
	if err != nil {
		tb.Fatalf("filling a database: %v", err)
	}
	return filled
}

// fill puts a copy of the template in the place of a new database, which is spared for the next test.
func (s *PostgreSQLServer) fill(database, name string, fill func(url string) error) (bool, error) {
	if yes, err := s.isNew(database); err != nil || !yes {
		return false, err
	}
	template, err := s.template(name, fill)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	s.number++
	spare := prefix() + "spare_" + strconv.Itoa(s.number)
	s.mu.Unlock()
	if err := s.administer(renamed(database, spare), s.copyOf(template, database)); err != nil {
		return false, err
	}
	s.mu.Lock()
	s.spares = append(s.spares, spare)
	s.mu.Unlock()
	return true, nil
}

// template is the name of the database that is filled; the first to ask has it made.
func (s *PostgreSQLServer) template(name string, fill func(url string) error) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if database, ok := s.templates[name]; ok {
		return database, nil
	}
	database := prefix() + "template_" + name
	if err := s.administer(s.copyOf("template0", database)); err != nil {
		return "", err
	}
	if err := fill(s.URL(database)); err != nil {
		return "", err
	}
	if s.templates == nil {
		s.templates = map[string]string{}
	}
	s.templates[name] = database
	return database, nil
}

// warm has a first session leave in a database's folder what every later one is quicker for; template0 takes no session.
func warm(url string) error { return administer(url, "SELECT") }

func (s *PostgreSQLServer) removeTemplates() {
	for _, database := range slices.AppendSeq(s.spares, maps.Values(s.templates)) {
		if err := s.administer("DROP DATABASE IF EXISTS " + database + " WITH (FORCE)"); err != nil {
			fmt.Fprintln(os.Stderr, "dropping a template:", err)
		}
	}
}

func renamed(database, to string) string { return "ALTER DATABASE " + database + " RENAME TO " + to }

// copyOf is the statement that makes a database which is a copy of another.
func (s *PostgreSQLServer) copyOf(template, database string) string {
	statement := "CREATE DATABASE " + database + " TEMPLATE " + template
	if s.existing == "" && version(programs()) >= 15 { // older ones know no other way than to copy the files
		statement += " STRATEGY FILE_COPY" // without a sync at its end it is the cheaper one by far
	}
	return statement
}

// prefix is what the names of this process's databases begin with.
func prefix() string { return fmt.Sprintf("test_%d_", os.Getpid()) }

// isNew tells whether nobody has worked with a database yet. The statistics tell, which a session has handed in by the time
// that it is no longer listed; before PostgreSQL 15 they came later.
func (s *PostgreSQLServer) isNew(database string) (yes bool, err error) {
	err = s.admin.with(func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int >= 150000
			AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = $1)
			AND NOT EXISTS (SELECT FROM pg_stat_database WHERE datname = $1 AND xact_commit + xact_rollback > 0)`, database).Scan(&yes)
	})
	return yes, err
}

var files struct {
	mu   sync.Mutex
	made map[string][]byte // the bytes of filled databases of SQLite, by what they hold
}

func fillFile(tb testing.TB, path, name string, fill func(url string) error) bool {
	tb.Helper()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return false
	}
	files.mu.Lock()
	defer files.mu.Unlock()
	if files.made[name] == nil {
		template := filepath.Join(tb.TempDir(), "database.db")
		if err := fill("sqlite:///" + template); err != nil {
			tb.Fatalf("filling a database: %v", err)
		}
		if _, err := os.Stat(template + "-wal"); !errors.Is(err, os.ErrNotExist) {
			tb.Fatalf("the database that is to be copied is still open: %v", err)
		}
		content, err := os.ReadFile(template)
		if err != nil {
			tb.Fatal(err)
		}
		if files.made == nil {
			files.made = map[string][]byte{}
		}
		files.made[name] = content
	}
	if err := os.WriteFile(path, files.made[name], 0o600); err != nil {
		tb.Fatal(err)
	}
	return true
}
