package storage_test

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/safebox/safebox/storage"
)

func TestStatementsAreReadByName(t *testing.T) {
	qs := storage.MustLoad(fstest.MapFS{
		"queries/b.sql": {Data: []byte("-- About this file.\n\n-- name: second\n-- why it is so\nSELECT 2;\n")},
		"queries/a.sql": {Data: []byte("-- name: first\nSELECT\n  1\n-- name: third\nSELECT 3\n")},
	})
	if got, want := qs.Names(), []string{"first", "second", "third"}; !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
	if got := qs.Get("first"); got != (storage.Query{Name: "first", SQL: "SELECT\n  1"}) {
		t.Errorf("got %+v", got)
	}
	if got := qs.Get("second").SQL; got != "SELECT 2" {
		t.Errorf("got %q", got)
	}
}

func TestBadStatementFilesAreBugsOfTheBuild(t *testing.T) {
	for name, files := range map[string]fstest.MapFS{
		"no file":            {},
		"a name twice":       {"queries/a.sql": {Data: []byte("-- name: a\nSELECT 1\n-- name: a\nSELECT 2\n")}},
		"an empty name":      {"queries/a.sql": {Data: []byte("-- name: \nSELECT 1\n")}},
		"an empty statement": {"queries/a.sql": {Data: []byte("-- name: a\n-- name: b\nSELECT 1\n")}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it was taken")
				}
			}()
			storage.MustLoad(files)
		})
	}
}
