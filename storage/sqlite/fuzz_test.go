package sqlite

import (
	"net/url"
	"strings"
	"testing"
)

// No path of a file can add an option to SQLite's URI, or name another file.
func FuzzDSN(f *testing.F) {
	for _, path := range []string{"/var/lib/safebox/database.db", "data/a b.db", "a?mode=ro", "a#b", "a%3fb", "a&_txlock=x", "é/ü.db", "//host/a", "a:b"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		text := dsn(path, forWriting, true)
		rest, ok := strings.CutPrefix(text, "file:")
		if !ok {
			t.Fatalf("%q", text)
		}
		name, options, _ := strings.Cut(rest, "?")
		if options != "mode=rwc&_txlock=immediate" || strings.Contains(name, "#") {
			t.Fatalf("%q gives the options %q of %q", path, options, name)
		}
		if back, err := url.PathUnescape(name); err != nil || back != path {
			t.Fatalf("%q leads to %q, %v", path, back, err)
		}
	})
}
