package peers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// graphileWorker runs jobs at least once, in a process of Node.js; each event is one statement in autocommit.
func graphileWorker(tb testing.TB) peer {
	return peer{
		name: "Graphile Worker",
		load: func(ctx context.Context, url string) error {
			_, err := node(ctx, tb, url, "load")
			return err
		},
		run: func(ctx context.Context, url string, n int) (time.Duration, error) {
			out, err := node(ctx, tb, url, "run", strconv.Itoa(n))
			if err != nil {
				return 0, err
			}
			ms, err := strconv.Atoi(strings.TrimSpace(out))
			return time.Duration(ms) * time.Millisecond, err
		},
	}
}

var graphile struct {
	once sync.Once
	dir  string
	err  error
}

// node runs the script of the folder graphile, with the packages that its package.json names.
func node(ctx context.Context, tb testing.TB, url string, args ...string) (string, error) {
	graphile.once.Do(func() {
		graphile.dir, graphile.err = os.MkdirTemp("", "safebox-graphile-")
		if graphile.err == nil {
			graphile.err = install(ctx, graphile.dir)
		}
	})
	if graphile.err != nil {
		return "", graphile.err
	}
	c := exec.CommandContext(ctx, "node", append([]string{"drain.js"}, args...)...)
	c.Dir = graphile.dir
	c.Env = append(os.Environ(), "DATABASE_URL="+url, "NODE_ENV=production")
	return output(c)
}

// removeGraphile takes the installed packages away, after the last test.
func removeGraphile() {
	if graphile.dir != "" {
		os.RemoveAll(graphile.dir) //nolint:errcheck // a folder of the system's temporary files
	}
}

func install(ctx context.Context, dir string) error {
	for _, name := range []string{"package.json", "drain.js"} {
		b, err := os.ReadFile(filepath.Join("graphile", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	c := exec.CommandContext(ctx, "npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
	c.Dir = dir
	_, err := output(c)
	return err
}

// output runs a program and returns what it printed; what it complained of is in the error.
func output(c *exec.Cmd) (string, error) {
	var out, problems bytes.Buffer
	c.Stdout, c.Stderr = &out, &problems
	c.WaitDelay = 10 * time.Second
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", filepath.Base(c.Path), err, tail(out.String()), tail(problems.String()))
	}
	return out.String(), nil
}

func tail(s string) string {
	const most = 2000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}
