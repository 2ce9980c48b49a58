package torture

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// newFile is a database that is a file, in a folder of its own.
func newFile(dir string) setup {
	return setup{backend: "sqlite", url: "sqlite:///" + filepath.Join(dir, "database.db"), replicas: 2, pace: 40 * time.Millisecond}
}

func (s *setup) file() string { return strings.TrimPrefix(s.url, "sqlite:///") }

// occupied is a session of another program, which runs statements and then does nothing.
func occupied(name string, statements ...string) fault {
	return fault{name: name, least: 500 * time.Millisecond, most: 4 * time.Second, begin: func(r *rig) func() {
		db, err := openDatabase(r.url)
		if err != nil {
			r.t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		conn, err := db.Conn(ctx)
		for _, s := range statements {
			if err == nil {
				_, err = conn.ExecContext(ctx, s)
			}
		}
		if err != nil {
			r.t.Logf("the other program could not begin: %v", err) // another fault may be the reason
		}
		return func() {
			if conn != nil {
				conn.ExecContext(ctx, "ROLLBACK") //nolint:errcheck // it may not have begun
				conn.Close()
			}
			cancel()
			db.Close()
		}
	}}
}

// readOnly makes the folder and its files read-only, which those see who open them anew: a replica dies then, and starts.
var readOnly = fault{name: "the folder made read-only", least: 300 * time.Millisecond, most: 2 * time.Second, begin: func(r *rig) func() {
	dir := filepath.Dir(r.file())
	modes := func(folder, file os.FileMode) {
		files, _ := filepath.Glob(r.file() + "*") // the pattern is well formed
		for _, f := range files {
			if err := os.Chmod(f, file); err != nil && !os.IsNotExist(err) {
				r.t.Fatal(err)
			}
		}
		if err := os.Chmod(dir, folder); err != nil {
			r.t.Fatal(err)
		}
	}
	modes(0o555, 0o444)
	r.someone().kill()
	r.mend()
	return func() { modes(0o755, 0o644) }
}}

func sqliteFaults() []fault {
	return []fault{
		killed,
		paused,
		occupied("the file locked by another program", "BEGIN EXCLUSIVE"),
		occupied("a reader that does not end", "BEGIN", "SELECT count(*) FROM event_log"),
	}
}
