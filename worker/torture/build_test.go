package torture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
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
		if err := build("../..", path); err != nil {
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

// build builds the module in a folder.
func build(module, path string, flags ...string) error {
	args := append([]string{"build", "-buildvcs=false", "-o", path}, flags...)
	cmd := exec.Command("go", append(args, "./cmd/safebox")...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return nil
}

func removeBuilds() {
	if built.dir != "" {
		os.RemoveAll(built.dir) //nolint:errcheck // it is in the folder for temporary files
	}
}
