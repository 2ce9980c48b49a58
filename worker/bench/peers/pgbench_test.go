package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/safebox/safebox/storage/dbtest"
)

// handClients is how many connections apply events one by one.
const handClients = 16

// handWritten is a transaction an event in its leanest form: pgbench's prepared statement, one call of the function each.
func handWritten(tb testing.TB) peer {
	return peer{
		name: "pgbench, a transaction an event",
		load: func(context.Context, string) error { return nil }, // bench_queue is its queue
		run: func(ctx context.Context, url string, n int) (time.Duration, error) {
			if n%handClients != 0 {
				return 0, fmt.Errorf("%d events cannot be shared by %d clients", n, handClients)
			}
			// Each client takes every sixteenth event.
			script := fmt.Sprintf(`\set i :i + 1
\set n (:i - 1) * %d + :client_id + 1
SELECT bench_apply(partition, position, type, subject, data, time) FROM bench_queue WHERE n = :n;
`, handClients)
			rate, err := pgbench(ctx, tb, url, script, handClients, "-t", strconv.Itoa(n/handClients), "-D", "i=0")
			if err != nil {
				return 0, err
			}
			return time.Duration(float64(n) / rate * float64(time.Second)), nil
		},
	}
}

var tps = regexp.MustCompile(`tps = ([0-9.]+) \(without initial connection time\)`)

// pgbench runs a script and returns the transactions a second, not counting the time to connect.
func pgbench(ctx context.Context, tb testing.TB, url, script string, clients int, args ...string) (float64, error) {
	dir, err := os.MkdirTemp("", "safebox-pgbench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder of the system's temporary files
	file := filepath.Join(dir, "script.sql")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return 0, err
	}
	args = append([]string{"-n", "-M", "prepared", "-c", strconv.Itoa(clients), "-j", "2", "-f", file}, append(args, url)...)
	out, err := output(exec.CommandContext(ctx, dbtest.Program(tb, "pgbench"), args...))
	if err != nil {
		return 0, err
	}
	found := tps.FindStringSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("pgbench said no rate: %s", tail(out))
	}
	return strconv.ParseFloat(found[1], 64)
}
