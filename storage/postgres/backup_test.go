package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// onlyDumper makes a script the only pg_dump that there is; "" for none.
func onlyDumper(t *testing.T, script string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	elsewhere := clients
	clients = filepath.Join(dir, "none")
	t.Cleanup(func() { clients = elsewhere })
	t.Setenv("PATH", dir)
	if script != "" {
		if err := os.WriteFile(filepath.Join(dir, "pg_dump"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestABackupSaysWhichProgramItLacks(t *testing.T) {
	db := open(t, dbtest.PostgreSQL(t), storage.Options{})
	for _, c := range []struct {
		name, script string
		says         []string
	}{
		{"none", "", []string{"needs pg_dump", "PATH", "postgresql-client-"}},
		{"too old", `echo "pg_dump (PostgreSQL) 9.6.24"`, []string{"the server is PostgreSQL", "pg_dump (version 9)", "postgresql-client-"}},
		{"broken", `exit 3`, []string{"exit status 3", "postgresql-client-"}},
		{"something else", `echo hello`, []string{"does not tell its version"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onlyDumper(t, c.script)
			path := filepath.Join(t.TempDir(), "x")
			err := db.CheckBackup(t.Context(), path)
			if !errors.Is(err, storage.ErrConfig) {
				t.Fatal(err)
			}
			for _, text := range c.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("does not say %q: %v", text, err)
				}
			}
			if _, err := db.Backup(t.Context(), path, nil); !errors.Is(err, storage.ErrConfig) {
				t.Errorf("Backup: %v", err)
			}
		})
	}
}

func TestPgDumpIsToldThePasswordByItsEnvironmentAloneAndItsWordsAreToldOn(t *testing.T) {
	const secret = "p4ss of the dump"
	admin := open(t, dbtest.PostgreSQL(t), storage.Options{})
	role := "dumper_" + strings.ToLower(filepath.Base(t.TempDir()))
	asAdmin := func(statement string) {
		t.Helper()
		if _, err := admin.pool.Exec(initContext(t), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	asAdmin("CREATE ROLE " + role + " LOGIN PASSWORD '" + secret + "'")
	defer asAdmin("DROP ROLE " + role)
	t.Setenv("DATABASE", "postgresql://x:"+secret+"@h/d")
	t.Setenv("SAFEBOX_ADMIN_TOKEN", secret)
	_, server, _ := strings.Cut(admin.options.Direct.String(), "@")
	db := open(t, "postgresql://"+role+":"+strings.ReplaceAll(secret, " ", "%20")+"@"+server, storage.Options{Role: "backup", Instance: "i"})

	dir := onlyDumper(t, `case "$1" in --version) echo "pg_dump (PostgreSQL) 99.1"; exit;; esac
for a in "$@"; do echo "$a"; done >"${0%/*}/arguments"; export >"${0%/*}/environment"
echo "pg_dump: error: permission denied for table registeredsafebox" >&2; exit 1`)
	path := filepath.Join(t.TempDir(), "x")
	_, err := db.Backup(t.Context(), path, nil)
	var failed *storage.BackupError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "permission denied for table registeredsafebox") || strings.Contains(err.Error(), secret) {
		t.Errorf("%v", err)
	}
	arguments, environment := read(t, dir, "arguments"), read(t, dir, "environment")
	if strings.Contains(arguments, secret) || !strings.Contains(arguments, "--format=custom") {
		t.Errorf("arguments %s", arguments)
	}
	if n := strings.Count(environment, secret); n != 1 || !strings.Contains(environment, "PGPASSWORD='"+secret+"'") ||
		!strings.Contains(environment, "PGAPPNAME='safebox/backup/i'") {
		t.Errorf("the password is there %d times:\n%s", n, environment)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a failed backup left %s: %v", path, err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPgDumpGoesWhereTheURLLeads(t *testing.T) {
	t.Setenv("PGPASSFILE", filepath.Join(t.TempDir(), "none"))
	for url, want := range map[string][]string{
		"postgresql://me:pw@one:5433,two/wallets?sslmode=verify-full&sslrootcert=system&target_session_attrs=read-write": {
			"PGDATABASE=wallets", "PGHOST=one,two", "PGPASSWORD=pw", "PGPORT=5433,5432", "PGSSLMODE=verify-full", "PGSSLROOTCERT=system",
			"PGTARGETSESSIONATTRS=read-write", "PGUSER=me",
		},
		"postgresql://me@[::1]/wallets?sslmode=prefer&connect_timeout=3&options=-c%20geqo%3Doff&statement_cache_capacity=0": {
			"PGCONNECT_TIMEOUT=3", "PGDATABASE=wallets", "PGHOST=::1", "PGOPTIONS=-c geqo=off", "PGPORT=5432", "PGSSLMODE=prefer", "PGUSER=me",
		},
		"postgresql://me@/wallets?host=/run/db&channel_binding=require": {
			"PGCHANNELBINDING=require", "PGDATABASE=wallets", "PGHOST=/run/db", "PGPORT=5432", "PGUSER=me",
		},
	} {
		u, err := storage.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		o := storage.Options{URL: u, Direct: u}
		direct, err := directConfig(o, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := slices.DeleteFunc((&DB{options: o, direct: direct}).libpqEnviron(), func(kv string) bool { return kv == "PGAPPNAME=safebox" })
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", u, diff)
		}
	}
}

// The first of two hosts answers nobody, and the pool goes through PgBouncer, which pg_dump must not.
func TestABackupFindsTheServerItselfAmongSeveralHosts(t *testing.T) {
	server := dbtest.PostgreSQL(t)
	before, after, _ := strings.Cut(server, "@")
	direct, err := storage.ParseURL(before + "@127.0.0.1:1," + after)
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, dbtest.PgBouncer(t, server, "transaction"), storage.Options{Direct: direct})
	prepare(t, db)
	b, err := db.Backup(t.Context(), filepath.Join(t.TempDir(), "x"), nil)
	if err != nil || b.Bytes == 0 {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestABackupIsRefusedWhereTheKeyHasAPassword(t *testing.T) {
	u, err := storage.ParseURL("postgresql://me@h/d?sslpassword=hush")
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&DB{options: storage.Options{Direct: u}}).client(t.Context(), "pg_dump")
	if !errors.Is(err, storage.ErrConfig) || !strings.Contains(err.Error(), "sslpassword") || strings.Contains(err.Error(), "hush") {
		t.Error(err)
	}
}
