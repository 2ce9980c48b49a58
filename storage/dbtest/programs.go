package dbtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const install = "PostgreSQL's server programs (initdb, postgres) are missing; on Debian and Ubuntu: apt-get install -y postgresql"

// programs is the folder of the newest PostgreSQL that is installed.
var programs = sync.OnceValue(func() string {
	var dirs []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin"} {
		found, _ := filepath.Glob(pattern) // the patterns are well formed
		dirs = append(dirs, found...)
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	if postgres, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(postgres); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	for _, dir := range dirs {
		if executable(filepath.Join(dir, "initdb")) && executable(filepath.Join(dir, "postgres")) {
			return dir
		}
	}
	return ""
})

// version is the number in a path like /usr/lib/postgresql/15/bin.
func version(dir string) int {
	digits := strings.TrimFunc(filepath.Dir(dir), func(r rune) bool { return r < '0' || r > '9' })
	n, _ := strconv.Atoi(digits) // a path without a number is the oldest
	return n
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// Program is the path of one of PostgreSQL's programs, such as pg_dump, in the version of the servers.
func Program(tb testing.TB, name string) string {
	tb.Helper()
	if programs() == "" {
		tb.Fatal(install)
	}
	return filepath.Join(programs(), name)
}
