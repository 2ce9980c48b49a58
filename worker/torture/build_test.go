package torture

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/safebox/safebox/storage/dbtest"
)

// built is the program, built once a run into a folder that any user may enter.
var built struct {
	sync.Mutex
	dir  string
	path string
}

// program is the program as it is.
func program(t *testing.T) string {
	t.Helper()
	dir := buildsDir(t)
	built.Lock()
	defer built.Unlock()
	if built.path == "" {
		path := filepath.Join(dir, "safebox")
		if err := dbtest.Build(path); err != nil {
			t.Fatal(err)
		}
		built.path = path
	}
	return built.path
}

func buildsDir(t *testing.T) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.dir == "" {
		dir, err := os.MkdirTemp("", "safebox-torture-")
		if err == nil {
			err = os.Chmod(dir, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		built.dir = dir
	}
	return built.dir
}

func removeBuilds() {
	if built.dir != "" {
		os.RemoveAll(built.dir) //nolint:errcheck // it is in the folder for temporary files
	}
}
