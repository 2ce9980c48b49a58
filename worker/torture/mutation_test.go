package torture

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/safebox/safebox/storage/dbtest"
)

// mutation is a build that is broken on purpose: texts of the sources that are replaced, each of which must be there once.
type mutation struct {
	name    string
	changes []replacement
	env     []string // of the replicas
	want    Kind
	strike  func(r *rig, g *ground) // beside what the clients do
}

type replacement struct{ file, old, new string }

var mutations = []mutation{
	{
		name: "the cursor moves in a transaction of its own",
		changes: []replacement{{
			"storage/postgres/claim.go",
			`		b.queue(qMoveCursors, b.topic, b.group, partitions, at(upTo), at(b.eras))
`,
			`		rest, names := b.queued, b.names
		b.queued, b.names = pgx.Batch{}, nil
		b.queue(qMoveCursors, b.topic, b.group, partitions, at(upTo), at(b.eras))
		b.queue(qCommitBatch)
		b.queue(qBeginBatch)
		if err := b.sendAll(ctx); err != nil {
			b.Rollback()
			return err
		}
		b.queued, b.names = rest, names
`,
		}},
		want: Lost,
		strike: func(r *rig, g *ground) {
			for range 20 {
				r.pause(r.between(100*time.Millisecond, 300*time.Millisecond))
				if err := g.query(safeboxSessions); err != nil {
					r.t.Error(err)
				}
			}
		},
	},
	{
		// The table's own constraint would refuse what the statement lets through, so it goes too.
		name: "no deduplication",
		changes: []replacement{
			{"storage/postgres/queries/event_log.sql", "AND source = i.source AND id = i.id LIMIT 1", "AND source = i.source AND id = i.id AND false LIMIT 1"},
			{"migrations/postgresql/20261123_0004_event_log.sql", ",\n    CONSTRAINT event_log_identity UNIQUE (topic, source, id)", ""},
		},
		want:   Doubled,
		strike: func(r *rig, _ *ground) { r.pause(4 * time.Second) },
	},
	{
		// Without an order at all the server still finds rows in the order of the index, most of the time: here each partition has
		// another, and takes its time.
		name: "no row order in the lock",
		changes: []replacement{
			{
				"storage/postgres/queries/ledger.sql", "WHERE id = ANY ($1::integer[])\n    RETURNING id, npub, balance",
				"WHERE id IN (SELECT id FROM (SELECT id FROM registeredsafebox WHERE id = ANY ($1::integer[]) " +
					"ORDER BY md5(id::text || ($4::integer[])[1]::text) OFFSET 0 FOR NO KEY UPDATE) l WHERE pg_sleep(0.005) IS NOT NULL)\n    RETURNING id, npub, balance",
			},
		},
		env:  []string{"SAFEBOX_BATCH=20"}, // a batch of several partitions at once meets no other
		want: Deadlock,
		strike: func(r *rig, _ *ground) { // all lanes are at work when there is a backlog, which must not take them longer than caught
			for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
				for _, w := range r.replicas {
					w.signal(sig)
				}
				r.pause(1500 * time.Millisecond)
			}
		},
	},
}

// overlay writes the changed sources beside the module, and the file that tells the compiler of them.
func (m *mutation) overlay(t *testing.T, dir string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for _, c := range m.changes {
		path := filepath.Join(root, filepath.FromSlash(c.file))
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), c.old); n != 1 {
			t.Fatalf("%s has the text to replace %d times; mend the mutation:\n%s", c.file, n, c.old)
		}
		changed := filepath.Join(dir, strings.ReplaceAll(c.file, "/", "_"))
		if err := os.WriteFile(changed, []byte(strings.Replace(string(source), c.old, c.new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		replace[path] = changed
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// caught is how soon after the start of the load the checker must have its verdict.
const caught = time.Minute

// TestABrokenBuildIsCaught holds the checker to what it is for. It runs where SAFEBOX_TEST_LONG is 1.
func TestABrokenBuildIsCaught(t *testing.T) {
	if os.Getenv("SAFEBOX_TEST_LONG") != "1" {
		for _, m := range mutations { // at least it can be made
			m.overlay(t, t.TempDir())
		}
		return
	}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := openTo(dir, nil); err != nil {
				t.Fatal(err)
			}
			broken := filepath.Join(dir, "safebox")
			if err := dbtest.Build(broken, "-overlay="+m.overlay(t, dir)); err != nil {
				t.Fatal(err)
			}
			g := newGround(t, dbtest.Options{})
			g.setup.program, g.setup.env = broken, append(g.setup.env, m.env...)
			g.setup.pace = 2 * time.Millisecond
			r := newRig(t, 1, g.setup)
			began := time.Now()
			m.strike(r, g)
			report := r.stop()
			g.countDeadlocks(&report)
			took := time.Since(began)
			if report.Count(m.want) == 0 || took > caught {
				t.Errorf("after %v nothing is %q among %d events:\n%s", took, m.want, report.Events, report.Summary())
			}
			t.Logf("caught after %.1f s, among %d events:\n%s", took.Seconds(), report.Events, report.Summary())
		})
	}
}
