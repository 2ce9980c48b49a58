package storage_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
)

func TestSQLiteURLs(t *testing.T) {
	for _, c := range []struct{ name, raw, path string }{
		{"a path after three slashes is relative", "sqlite:///data/database.db", "data/database.db"},
		{"a path after four slashes is absolute", "sqlite:////var/lib/safebox/database.db", "/var/lib/safebox/database.db"},
		{"two slashes mean in memory", "sqlite://", ""},
		{"three slashes alone mean in memory", "sqlite:///", ""},
		{"the name :memory: means in memory", "sqlite:///:memory:", ""},
		{"the driver aiosqlite is read and ignored", "sqlite+aiosqlite:///a.db", "a.db"},
		{"the driver pysqlite is read and ignored", "sqlite+pysqlite:////a.db", "/a.db"},
		{"a path is taken as it stands", "sqlite:////tmp/a b%20#c.db", "/tmp/a b%20#c.db"},
		{"a path is cleaned", "sqlite:///./data//database.db", "data/database.db"},
		{"check_same_thread means nothing here", "sqlite:///a.db?check_same_thread=false", "a.db"},
		{"the timeout is that of the pool", "sqlite:///a.db?timeout=15&check_same_thread=false", "a.db"},
		{"an @ and a colon in a path are nothing special", "sqlite:////srv/a:b@c.db", "/srv/a:b@c.db"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := storage.ParseURL(c.raw)
			if err != nil {
				t.Fatal(err)
			}
			if u.Dialect != storage.SQLite || u.Path != c.path || u.InMemory() != (c.path == "") {
				t.Errorf("read as %s with path %q", u.Dialect, u.Path)
			}
			again, err := storage.ParseURL(u.String())
			if err != nil || again != u {
				t.Errorf("%s is read back as %s, %v", u, again, err)
			}
		})
	}
}

func TestPostgreSQLURLs(t *testing.T) {
	type parts struct {
		Hosts              []storage.Host
		User, Password, DB string
		Settings           map[string]string
	}
	host := func(name string, port uint16) []storage.Host { return []storage.Host{{Name: name, Port: port}} }
	for _, c := range []struct {
		name, raw string
		want      parts
	}{
		{"everything is there", "postgresql://me:secret@db.example:5433/safebox", parts{host("db.example", 5433), "me", "secret", "safebox", nil}},
		{"postgres is another name of the scheme", "postgres://h/db", parts{Hosts: host("h", 0), DB: "db"}},
		{"the driver psycopg2 is read and ignored", "postgresql+psycopg2://h/db", parts{Hosts: host("h", 0), DB: "db"}},
		{"the driver psycopg is read and ignored", "postgresql+psycopg://h/db", parts{Hosts: host("h", 0), DB: "db"}},
		{"the driver asyncpg is read and ignored", "postgres+asyncpg://h/db", parts{Hosts: host("h", 0), DB: "db"}},
		{"nothing is there", "postgresql://", parts{}},
		{"only a database", "postgresql:///db", parts{DB: "db"}},
		{"no database", "postgresql://me@h", parts{Hosts: host("h", 0), User: "me"}},
		{"user and password are percent-decoded", "postgresql://m%40e:s%2Fe%3Ac%25r+t@h/db", parts{host("h", 0), "m@e", "s/e:c%r+t", "db", nil}},
		{"a password may have a colon, a slash, a question mark and a number sign", "postgresql://me:a:b/c?d#e@h/db", parts{host("h", 0), "me", "a:b/c?d#e", "db", nil}},
		{"a password may have an @ where no slash follows before the last one", "postgresql://me:p@ss@h/db", parts{host("h", 0), "me", "p@ss", "db", nil}},
		{"a user may have an @", "postgresql://me@corp:pw@h/db", parts{host("h", 0), "me@corp", "pw", "db", nil}},
		{"a password may be empty", "postgresql://me:@h/db", parts{host("h", 0), "me", "", "db", nil}},
		{"an IPv6 address stands in brackets", "postgresql://me@[::1]:5433/db", parts{Hosts: host("::1", 5433), User: "me", DB: "db"}},
		{"an IPv6 address may have no port", "postgresql://[2001:db8::7]/db", parts{Hosts: host("2001:db8::7", 0), DB: "db"}},
		{"several hosts stand in a list", "postgresql://me:pw@h1:1,[::1]:2,h3/db", parts{[]storage.Host{{Name: "h1", Port: 1}, {Name: "::1", Port: 2}, {Name: "h3"}}, "me", "pw", "db", nil}},
		{"several hosts stand in the options", "postgresql://me:pw@/db?host=h1:1&host=h2:2", parts{[]storage.Host{{Name: "h1", Port: 1}, {Name: "h2", Port: 2}}, "me", "pw", "db", nil}},
		{"hosts and ports stand in the options as lists", "postgresql:///db?host=h1,h2&port=1,2", parts{Hosts: []storage.Host{{Name: "h1", Port: 1}, {Name: "h2", Port: 2}}, DB: "db"}},
		{"one port is for all hosts", "postgresql:///db?host=h1,h2&port=7", parts{Hosts: []storage.Host{{Name: "h1", Port: 7}, {Name: "h2", Port: 7}}, DB: "db"}},
		{"a host that is a folder is a Unix socket", "postgresql://me@/db?host=/var/run/postgresql", parts{Hosts: host("/var/run/postgresql", 0), User: "me", DB: "db"}},
		{"a Unix socket takes the port of the empty host", "postgresql://me@:5433/db?host=/run", parts{Hosts: host("/run", 5433), User: "me", DB: "db"}},
		{"a Unix socket may stand in the place of the host, escaped", "postgresql://me@%2Frun%2Fpg:5433/db", parts{Hosts: host("/run/pg", 5433), User: "me", DB: "db"}},
		{"options are kept by libpq's names", "postgresql://h/db?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&options=-c%20geqo%3Doff", parts{
			Hosts: host("h", 0), DB: "db",
			Settings: map[string]string{"sslmode": "verify-full", "sslrootcert": "/etc/ca.pem", "options": "-c geqo=off"},
		}},
		{"asyncpg's ssl is sslmode", "postgresql+asyncpg://h/db?ssl=true", parts{Hosts: host("h", 0), DB: "db", Settings: map[string]string{"sslmode": "require"}}},
		{"user, password and database may be options", "postgresql://h?user=me&password=pw&dbname=db", parts{host("h", 0), "me", "pw", "db", nil}},
		{"a option may have an @ where there is no user", "postgresql://h/db?application_name=a@b", parts{Hosts: host("h", 0), DB: "db", Settings: map[string]string{"application_name": "a@b"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := storage.ParseURL(c.raw)
			if err != nil {
				t.Fatal(err)
			}
			password, _ := u.Password()
			got := parts{u.Hosts(), u.User(), password, u.Database(), u.Settings()}
			if len(got.Settings) == 0 {
				got.Settings = nil
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestRefusedURLs(t *testing.T) {
	for _, c := range []struct{ name, raw, says string }{
		{"an empty one", "", "empty"},
		{"one without a scheme", "data/database.db", `there is no "://"`},
		{"an unknown scheme", "mysql://me:hunter2@h/db", "neither sqlite nor postgresql"},
		{"an unknown driver", "postgresql+pg8000://me:hunter2@h/db", "psycopg2, psycopg"},
		{"SQLite's other driver", "sqlite+pysqlcipher://:hunter2@/x.db", "pysqlite, aiosqlite"},
		{"a SQLite file after two slashes", "sqlite://data/database.db", "three slashes before a relative path"},
		{"a SQLite file in SQLite's own form", "sqlite:///file:a.db?uri=true", "file: form"},
		{"an unknown option of SQLite", "sqlite:///a.db?mode=ro", `option "mode" is not known`},
		{"a port that is no number", "postgresql://me:hunter2@h:54x/db", "1 to 65535"},
		{"a port out of range", "postgresql://me:hunter2@h:65536/db", "1 to 65535"},
		{"the port 0", "postgresql://h:0/db", "1 to 65535"},
		{"a password without a user's @", "postgresql://me:hunter2/db", "1 to 65535"},
		{"an IPv6 address without brackets", "postgresql://me:hunter2@::1/db", "brackets"},
		{"brackets around no address", "postgresql://[h]/db", "IPv6"},
		{"brackets that do not close", "postgresql://[::1/db", "IPv6"},
		{"a bad escape in the password", "postgresql://me:hunter2%zz@h/db", "%25"},
		{"an unknown option", "postgresql://me:hunter2@h/db?sslmod=require", `option "sslmod" is not known; known are: application_name,`},
		{"a bad sslmode", "postgresql://h/db?sslmode=on", "disable, allow, prefer, require, verify-ca, verify-full"},
		{"a timeout that is no number", "postgresql://h/db?connect_timeout=soon", "whole number"},
		{"an option twice", "postgresql://h/db?sslmode=disable&sslmode=require", "given 2 times"},
		{"an option without a value", "postgresql://h/db?sslmode", "?name=value"},
		{"more ports than hosts", "postgresql:///db?host=a&port=1,2", "1 hosts and 2 ports"},
		{"a slash in the database", "postgresql://h/a/b", "a / in the name of the database"},
		{"an @ after the host", "postgresql://me:hun@x/ter2@h/db", "%40"},
		{"a line break", "postgresql://me:hunter2@h/db\n", "control character"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := storage.ParseURL(c.raw)
			if !errors.Is(err, storage.ErrConfig) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q does not say %q", err, c.says)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "ter2") {
				t.Errorf("%q shows the password", err)
			}
		})
	}
}

func TestMaskHidesWhatMayBeAPassword(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"a password", "postgresql://me:secret@h/db", "postgresql://me:***@h/db"},
		{"a password with all signs", "postgresql://me:a@b:c/d?e@h/db", "postgresql://me:***@h/db"},
		{"a password option", "postgresql://h/db?password=secret&sslmode=require", "postgresql://h/db?password=***&sslmode=require"},
		{"a key's password", "postgresql://h/db?sslpassword=secret", "postgresql://h/db?sslpassword=***"},
		{"a password in the place of a port", "postgresql://me:secret/db", "postgresql://me:***/db"},
		{"a URL without a scheme", "me:secret@h/db", "me:***@h/db"},
		{"nothing to hide", "postgresql://me@h:5432/db", "postgresql://me@h:5432/db"},
		{"an IPv6 address is no secret", "postgresql://[::1]:5432/db", "postgresql://[::1]:5432/db"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := storage.Mask(c.raw); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestNoWayOfPrintingShowsThePassword(t *testing.T) {
	u, err := storage.ParseURL("postgresql://me:hunter2@h:5432/db?sslpassword=hunter2&sslmode=require")
	if err != nil {
		t.Fatal(err)
	}
	type holder struct{ inner storage.URL }
	options := storage.Options{URL: u}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("opening", "url", u, "options", options)
	slog.New(slog.NewTextHandler(&log, nil)).Info("opening", "url", u, "holder", holder{u})
	js, err := json.Marshal(options.URL)
	if err != nil {
		t.Fatal(err)
	}
	printed := []string{log.String(), string(js)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		printed = append(printed, fmt.Sprintf(verb, u), fmt.Sprintf(verb, &u), fmt.Sprintf(verb, options), fmt.Sprintf(verb, holder{u}))
	}
	for _, p := range printed {
		if strings.Contains(p, "hunter2") || strings.Contains(p, "68756e74657232") {
			t.Errorf("%s", p)
		}
	}
	if got, want := u.String(), "postgresql://me:***@h:5432/db?sslmode=require&sslpassword=***"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"sqlite:///a.db", "sqlite://", "postgresql://u:p@h:1/db?sslmode=require", "postgresql://[::1]:5432,h:2/db",
		"postgresql:///db?host=/run&port=1", "postgres+asyncpg://u%40:p%25@h/db?ssl=true", "postgresql://u:p@ss/w?o#rd@h", "://@:@",
	} {
		f.Add(seed, "s3cr3t-w0rd")
	}
	f.Fuzz(func(t *testing.T, raw, password string) {
		if u, err := storage.ParseURL(raw); err == nil {
			again, err := storage.ParseURL(u.String())
			if err != nil {
				t.Fatalf("%q is printed as %q, which is refused: %v", raw, u, err)
			}
			if again.String() != u.String() {
				t.Fatalf("%q is printed as %q, and that as %q", raw, u, again)
			}
		} else if !errors.Is(err, storage.ErrConfig) {
			t.Fatalf("%q: %v", raw, err)
		}
		// A password that is long enough not to stand in the rest by chance must not come out again, however odd it is.
		password = "Zx9" + password + "9xZ"
		for _, with := range []string{
			"postgresql://me:" + password + "@h/db",
			"postgresql://me:" + password + "@h:99999/db?oops",
			"mysql://me:" + password + "@h/db",
		} {
			u, err := storage.ParseURL(with)
			text := u.String()
			if err != nil {
				text = err.Error()
			}
			if strings.Contains(text, "Zx9") || strings.Contains(text, "9xZ") {
				t.Fatalf("%q is shown as %q", with, text)
			}
		}
	})
}
