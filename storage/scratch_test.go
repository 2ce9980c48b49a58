package storage_test

import (
	"testing"

	"github.com/safebox/safebox/storage"
)

func TestRevealedURLIsReadBackWithItsPassword(t *testing.T) {
	for _, raw := range []string{
		"sqlite:///data/database.db",
		"sqlite:////var/lib/safe box/database.db",
		"postgresql://h/db",
		"postgresql://me@h/db",
		"postgresql://me:p%40ss+w%20%3A%2F%3F%23%25@h1:1,[::1]:5432/db?sslmode=disable",
		"postgresql://:only@/db?host=/run/postgresql&sslpassword=k%26y",
	} {
		u, err := storage.ParseURL(raw)
		if err != nil {
			t.Fatal(err)
		}
		again, err := storage.ParseURL(u.Reveal())
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		p1, has1 := u.Password()
		p2, has2 := again.Password()
		if p1 != p2 || has1 != has2 || u.User() != again.User() || u.String() != again.String() ||
			u.Settings()["sslpassword"] != again.Settings()["sslpassword"] {
			t.Errorf("%s: read back as %s", raw, again)
		}
	}
}

func TestURLOfAnotherDatabaseKeepsTheServer(t *testing.T) {
	u, err := storage.ParseURL("postgresql://me:secret@h:5433/db?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := u.WithDatabase("other").Reveal(), "postgresql://me:secret@h:5433/other?sslmode=disable"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if u.Database() != "db" {
		t.Errorf("the first URL now names %q", u.Database())
	}
}
