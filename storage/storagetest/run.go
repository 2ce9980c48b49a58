package storagetest

import (
	"testing"

	"github.com/safebox/safebox/storage"
)

// A fixture is a database of a test's own, ready for work.
type fixture struct {
	url   string
	db    storage.DB
	empty func(testing.TB) string // another database of the test's own
}

// another is a second handle on the database, as another process has it.
func (f fixture) another(t *testing.T) storage.DB { return Ready(t, f.url) }

// A conformanceTest runs on a fresh database; its name is what a backend must do.
type conformanceTest struct {
	name string
	test func(*testing.T, fixture)
}

// Run holds a backend to the contract. url gives the URL of an empty database of the test's own, dbtest.PostgreSQL for
// one; the backend must be registered. The tests run in parallel, each on its own database.
func Run(t *testing.T, url func(testing.TB) string) {
	t.Helper()
	for _, group := range []struct {
		name  string
		tests []conformanceTest
	}{
		{"append", appendTests},
		{"seal", sealTests},
		{"positions", positionTests},
		{"claim", claimTests},
		{"park", parkTests},
		{"ledger", ledgerTests},
		{"read", readTests},
		{"membership", membershipTests},
		{"version", versionTests},
		{"vitals", vitalsTests},
		{"backup", backupTests},
		{"audit", auditTests},
		{"damage", damageTests},
		{"contention", contentionTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.tests {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					u := url(t)
					c.test(t, fixture{url: u, db: Ready(t, u), empty: url})
				})
			}
		})
	}
}
