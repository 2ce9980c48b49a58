package dbtest

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// SQLite is the URL of a SQLite file that is not there yet, in a folder of the test's own.
func SQLite(tb testing.TB) string {
	tb.Helper()
	return "sqlite:///" + filepath.Join(tb.TempDir(), "database.db")
}

// PostgreSQL is the URL of a fresh, empty database on the shared server.
func PostgreSQL(tb testing.TB) string {
	tb.Helper()
	return shared(tb).Database(tb)
}

// Each runs f for both dialects, as subtests named sqlite and postgresql.
func Each(t *testing.T, f func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, SQLite(t)) })
	t.Run("postgresql", func(t *testing.T) { f(t, PostgreSQL(t)) })
}

// lost are goroutines that libraries of the tests lose: one that Watermill's suite never ends, and those of toxics that
// toxiproxy adds to a connection while it ends.
var lost = []goleak.Option{
	goleak.IgnoreTopFunction("github.com/ThreeDotsLabs/watermill/pubsub/tests.TestReconnect.func2"),
	goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
}

// Main runs the tests of a package, then what is to be done after them, stops the shared server, and fails if goroutines
// are left over. It does not return.
func Main(m *testing.M, then ...func()) {
	if os.Getenv("GORACE") == "" { // the race detector would hold every process that a test starts for a second when it ends
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	if os.Getenv("PGSSLMODE") == "" { // the servers have no TLS, and to be refused it costs a process of theirs for each connection
		_ = os.Setenv("PGSSLMODE", "disable")
	}
	code := m.Run()
	for _, f := range then {
		f()
	}
	common.mu.Lock()
	if common.server != nil {
		common.server.remove()
		common.server = nil
	}
	common.mu.Unlock()
	pristine.remove()
	if code == 0 {
		if err := goleak.Find(lost...); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left over after the tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}

var common struct {
	mu     sync.Mutex
	server *PostgreSQLServer
}

// shared is the server that all tests of this process share.
func shared(tb testing.TB) *PostgreSQLServer {
	tb.Helper()
	common.mu.Lock()
	defer common.mu.Unlock()
	if common.server == nil {
		if existing := os.Getenv("SAFEBOX_TEST_POSTGRESQL"); existing != "" {
			common.server = &PostgreSQLServer{existing: existing}
		} else {
			common.server = start(tb, Options{})
		}
		common.server.admin = &administrator{url: common.server.URL("")}
	}
	return common.server
}
