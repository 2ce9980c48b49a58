package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/event"
)

// fillForPlans makes tables so large that the wrong plan reads a lot: 128,000 events, 20,000 of most other things.
var fillForPlans = []string{
	`INSERT INTO registeredsafebox (handle, custom_handle, npub, home_relay, onboard_code, access_key, emergency_code, balance)
		SELECT 'h' || i, 'c' || i, 'n' || i, 'r', 'o', 'k' || i, 'e' || i, 100 FROM generate_series(1, 20000) AS i`,
	`INSERT INTO event_log (topic, partition, position, source, id, type, subject, time, data, recorded_at)
		SELECT 'wallet', i % 64, i / 64 + 1, '/s' || i % 3, 'id' || i,
			CASE WHEN i % 6 = 0 THEN 'safebox.wallet.registered.v1' ELSE 'safebox.funds.credited.v1' END,
			'n' || i % 20000, now(), '{"amount":1}', now() + i * interval '1 ms'
		FROM generate_series(0, 127999) AS i`,
	`INSERT INTO ledger_entry (partition, position, leg, subject, seq, type, outcome, amount, fee, balance, at)
		SELECT i % 64, i / 64 + 1, 0, 'n' || i % 20000, i / 20000 + 1, 'safebox.funds.credited.v1', 'applied', 1, 0, 1, now()
		FROM generate_series(0, 127999) AS i`,
	`INSERT INTO event_cursor (topic, consumer_group, partition, position) SELECT 'wallet', 'g', p, 1000 FROM generate_series(0, 63) AS p`,
	`INSERT INTO parked_event (topic, consumer_group, partition, position, subject, error, attempts, parked_at)
		SELECT 'wallet', 'g', i % 2, i / 2 + 1, 'n' || i % 500, 'why', 1, now() FROM generate_series(0, 19999) AS i`,
	`INSERT INTO parked_action (topic, consumer_group, subject, number, action, actor, reason, first_position, last_position, events, error, at)
		SELECT 'wallet', 'g', 'n' || i % 2000, i / 2000 + 1, 'retry', 'a', '', 1, 1, 1, '', now() FROM generate_series(0, 19999) AS i`,
	`INSERT INTO paymentquote (nsec, handle, quote, amount, mint, paid, npub)
		SELECT '', 'h' || i, 'q' || i, 1, 'm', false, 'n' || i FROM generate_series(1, 20000) AS i`,
	`INSERT INTO nwcsecret (nwc_secret, npub) SELECT 's' || i, 'n' || i FROM generate_series(1, 20000) AS i`,
	`INSERT INTO nwcevent (event_id) SELECT 'e' || i FROM generate_series(1, 20000) AS i`,
	`INSERT INTO nfcrequesternonce (requester_pubkey, flow, nonce, requester_ts, used_at)
		SELECT 'p' || i % 100, 'f', 'n' || i, 1, now() FROM generate_series(1, 20000) AS i`,
	`INSERT INTO receiveofferbootstrap (nonce, nauth, grant_kind, offer_kind, host, created_at)
		SELECT 'n' || i, 'a', 1, 1, 'h', now() FROM generate_series(1, 20000) AS i`,
	`INSERT INTO safebox_replica (instance, version, since, seen_at, lanes, state, leader) VALUES ('r', 'v', now(), now(), 4, 'ready', true)`,
	`ANALYZE`,
}

// small are the tables that may be read whole: they do not grow with the events.
var small = []string{"currencyrate", "safebox_replica", "event_cursor"}

// A pin says what a statement's plan must be: the indexes it uses, and the most rows it may read.
type pin struct {
	args    []any
	indexes string
	rows    float64
}

func pins() map[string]pin {
	now := time.Now()
	none := []*string{nil}
	text := func(s ...string) []string { return s }
	var zero event.Positions
	return map[string]pin{
		"heads":                   {[]any{"wallet"}, "event_log_pkey", 64},
		"append_events":           {[]any{"wallet", []int32{5}, []int32{1, 1}, []int32{1, 2}, []int32{1, 2}, text("/s1", "/s1"), text("new", "newer"), text("t", "t"), text("n5", "n5"), []time.Time{now, now}, text("{}", "{}"), []*string{nil, nil}, true, []int64{1000}}, "event_log_identity event_log_pkey", 2},
		"events_by_id":            {[]any{"wallet", "/s1", "id1"}, "event_log_identity", 1},
		"events_by_id_any_source": {[]any{"wallet", "id1"}, "event_log_identity", 6},
		"read_log":                {[]any{"wallet", 5, 1000, 100}, "event_log_pkey", 100},
		"recorded_at":             {[]any{"wallet", 5, 1000}, "event_log_pkey", 1},

		"join_group":       {[]any{"wallet", "new", zero[:]}, "", 4096},
		"cursors":          {[]any{"wallet", "g", []int32{0, 5, 63}, []int64{0, 0, 0}}, "event_cursor_pkey", 3},
		"claim":            {[]any{"wallet", "g", []int32{5, 6}, []int64{0, 0}}, "event_cursor_pkey", 4},
		"claimed_events":   {[]any{"wallet", "g", 5, 500, 0}, "event_cursor_pkey event_log_pkey", 502},
		"blocked_subjects": {[]any{"wallet", "g", []int32{1, 5, 6}, 500, []int64{0, 0, 0}}, "event_cursor_pkey event_log_pkey parked_event", 1300},
		"lock_cursor":      {[]any{"wallet", "g", 5}, "event_cursor_pkey", 1},
		"claim_parked":     {[]any{"wallet", "g", 1, "n1"}, "event_log_pkey parked_event_subject", 100},
		"move_cursors":     {[]any{"wallet", "g", []int32{5, 6}, []int64{1100, 1100}, []int64{0, 0}}, "event_cursor_pkey", 4},
		"unpark_events":    {[]any{"wallet", "g", 1, "n1", 5000}, "parked_event_subject", 100},
		"park_events":      {[]any{"wallet", "g", []int32{5}, []int64{7}, text("n5"), text("why"), []int32{1}}, "", 1},
		"note_action":      {[]any{"wallet", "g", "n5", "retry", "a", "", 1, 1, 1, ""}, "parked_action_pkey", 10},

		"load_balances":   {[]any{text("n1", "n2")}, "registeredsafebox.npub", 2},
		"load_wallets":    {[]any{text("n1", "n2")}, "registeredsafebox.npub", 2},
		"load_awaited":    {[]any{"wallet", "g", []int32{5, 5}, []int64{7, 8}, text("n0", "n6")}, "event_log_pkey event_log_registration registeredsafebox.npub", 200},
		"load_owners":     {[]any{text("h1"), text("c1"), text("k1"), text("e1")}, "registeredsafebox.access_key registeredsafebox.custom_handle registeredsafebox.emergency_code registeredsafebox.handle", 4},
		"load_secrets":    {[]any{text("s1", "s2")}, "nwcsecret.nwc_secret", 2},
		"load_quotes":     {[]any{text("q1", "q2")}, "ix_paymentquote_quote", 2},
		"load_nwc_events": {[]any{text("e1", "e2")}, "nwcevent.event_id", 2},
		"load_nonces":     {[]any{text("p1", "p2"), text("f", "f"), text("n1", "n2")}, "nfcrequesternonce.nonce", 3},
		"load_offers":     {[]any{text("n1", "n2")}, "receiveofferbootstrap.nonce", 2},

		"store_journal":        {[]any{[]int32{1, 2}, []int64{1, 2}, []int64{1, 1}, []int32{5, 5}, []int64{9001, 9002}, []int16{0, 0}, text("", ""), []int32{1, 2}, []int64{100, 100}, []int16{1, 1}, []int64{1, 2}, []int64{0, 0}, []int64{1, 2}, []int64{0, 0}, []time.Time{now, now}, text("t"), text("applied"), text("")}, "registeredsafebox_pkey", 8},
		"store_registered":     {[]any{text("new"), none, text("new"), text("r"), text("o"), none, []int64{0}, none, none, none, []int64{1}}, "", 1},
		"store_profiled":       {[]any{[]int32{1, 2}, []int16{31, 1}, text("x", "y"), text("o", "o"), text("r", "r"), text("a", "b"), text("EUR", "EUR")}, "registeredsafebox_pkey", 4},
		"store_created_quotes": {[]any{text("h1"), text("new"), []int64{1}, text("m"), []bool{false}, text("n1")}, "", 1},
		"store_settled_quotes": {[]any{[]int32{1, 2}}, "paymentquote_pkey", 2},
		"clear_secrets":        {[]any{text("n1", "n2")}, "ix_nwcsecret_npub", 2},
		"store_secrets":        {[]any{text("new"), text("n1")}, "", 1},
		"store_nwc_events":     {[]any{text("new")}, "", 1},
		"store_nonces":         {[]any{text("p"), text("f"), text("new"), []int64{1}, []time.Time{now}}, "", 1},
		"store_offers":         {[]any{text("new"), text("a"), []int32{1}, []int32{1}, text("h"), none, []time.Time{now}}, "", 1},

		"wallet_by_key":       {[]any{"h7"}, "registeredsafebox.custom_handle registeredsafebox.handle registeredsafebox.npub", 3},
		"wallets":             {[]any{"n5", 100}, "registeredsafebox.npub", 100},
		"entries":             {[]any{"n5", 0, 100}, "ledger_entry_seq", 100},
		"entries_without_seq": {[]any{"n5", 100}, "ledger_entry_seq", 100},
		"entries_at":          {[]any{5, 1000}, "ledger_entry_pkey", 2},
		"parked_at":           {[]any{"wallet", "g", 1, 5}, "event_log_pkey parked_event_pkey", 2},
		"oldest_pending":      {[]any{"wallet", "g"}, "event_cursor_pkey event_log_pkey", 128},
		"beat":                {[]any{"another", "v", 4, "ready", false}, "", 3},
		"leave":               {[]any{"r"}, "", 3},
		"replicas":            {[]any{time.Minute}, "", 3},
	}
}

// settled are the statements that look for a cursor, or for a wallet of a batch: they run after settle_plans.
var settled = []string{
	"cursors", "claim", "claimed_events", "blocked_subjects", "lock_cursor", "move_cursors", "load_awaited", "oldest_pending",
	"load_balances", "load_wallets", "store_journal",
}

// cold are the statements whose plan does not matter, and why.
var cold = map[string]string{
	"ping": "reads no table", "isolation": "reads no table", "clock": "reads no table", "vitals": "for an operator who asks", "connections": "for people", "begin_batch": "no plan", "settle_plans": "no plan", "commit_batch": "no plan", "rollback_batch": "no plan", "audit_begin": "no plan",
	"append_lock": "reads no table", "join_lock": "reads no table", "announce": "reads no table", "listen_events": "no plan",
	"load_rates": "currencyrate has a row a currency", "store_rates": "currencyrate has a row a currency",
	"parked": "for people, who ask for what is parked", "parked_actions": "for people", "parked_subjects": "for an operator who retries everything",
	"parked_count": "counts what is parked, twice a minute at most; nothing is as a rule",
}

// isCold tells why a statement needs no pin.
func isCold(name string) bool {
	return cold[name] != "" || strings.HasPrefix(name, "init_") || // once a process
		strings.HasPrefix(name, "audit_") || // reads everything, on purpose
		strings.HasPrefix(name, "backup_") || strings.HasPrefix(name, "restore_") // a row a backup, and for an operator
}

// plan is a node of EXPLAIN (ANALYZE, FORMAT JSON).
type plan struct {
	Type     string  `json:"Node Type"`
	Relation string  `json:"Relation Name"`
	Index    string  `json:"Index Name"`
	Cond     string  `json:"Index Cond"`
	Rows     float64 `json:"Actual Rows"`
	Loops    float64 `json:"Actual Loops"`
	Filtered float64 `json:"Rows Removed by Filter"`
	Recheck  float64 `json:"Rows Removed by Index Recheck"`
	Hit      float64 `json:"Shared Hit Blocks"`
	Read     float64 `json:"Shared Read Blocks"`
	Plans    []plan  `json:"Plans"`
}

// walk calls f for every node.
func (p plan) walk(f func(plan)) {
	f(p)
	for _, child := range p.Plans {
		child.walk(f)
	}
}

// toReady is a connection to a database that is ready, beside the pool's.
func toReady(t *testing.T) *pgx.Conn {
	t.Helper()
	url := dbtest.PostgreSQL(t)
	storagetest.Ready(t, url)
	c, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return connectedTo(t, c)
}

// Every statement that the lanes, the appends, the heartbeat and the readers live on keeps its plan on tables that have grown.
func TestThePlansOfHotStatementsArePinned(t *testing.T) {
	ctx := storagetest.Context(t)
	conn := toReady(t)
	for _, s := range fillForPlans {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	pinned := pins()
	for _, name := range queries.Names() {
		if _, ok := pinned[name]; ok == isCold(name) {
			t.Errorf("the statement %s must be either pinned or cold, with the reason", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(pinned)) {
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			check := func(format string, args ...any) {
				t.Helper()
				t.Errorf("%s, %s: %s", name, mode, fmt.Sprintf(format, args...))
			}
			root, text, err := explain(t, conn, name, mode, pinned[name].args)
			if err != nil {
				check("%v", err)
				continue
			}
			rows, indexes := root.reads(check)
			if rows > pinned[name].rows {
				check("reads %.0f rows, want at most %.0f\n%s", rows, pinned[name].rows, text)
			}
			got := usedIndexes(t, conn, indexes)
			for _, want := range strings.Fields(pinned[name].indexes) {
				if !slices.ContainsFunc(got, func(s string) bool { return s == want || strings.HasPrefix(s, want) }) {
					check("uses the indexes %v, want %s (-want +got):\n%s", got, want, cmp.Diff(strings.Fields(pinned[name].indexes), got))
				}
			}
		}
	}
}

// reads tells how many rows a plan read, and by which indexes. A table that it read whole and that grows is reported.
func (p plan) reads(report func(format string, args ...any)) (rows float64, indexes map[string]bool) {
	indexes = map[string]bool{}
	p.walk(func(p plan) {
		if p.Index != "" {
			indexes[p.Index] = true
		}
		if p.Relation == "" || p.Type == "ModifyTable" {
			return
		}
		rows += (p.Rows + p.Filtered + p.Recheck) * p.Loops
		if p.Type == "Seq Scan" && !slices.Contains(small, p.Relation) && p.Loops > 0 {
			report("reads all of %s", p.Relation)
		}
	})
	return rows, indexes
}

// A connection keeps the plans that it made while the tables were empty, and nothing tells it that they have grown: not
// before they are analysed. It makes them once.
func TestAPlanFromAnEmptyDatabaseReadsNoTableWhole(t *testing.T) {
	ctx := storagetest.Context(t)
	conn := toReady(t)
	run := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := conn.Exec(ctx, s, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	pinned := pins()
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(pinned)), func(name string) bool {
		return !slices.ContainsFunc([]string{"claim", "load_", "store_", "clear_", "blocked_", "append_"}, func(p string) bool { return strings.HasPrefix(name, p) })
	})
	settle := func(name string) {
		t.Helper()
		run(queries.Get("begin_batch").SQL)
		if name != "append_events" {
			run(queries.Get("settle_plans").SQL)
		} else if _, err := conn.Exec(ctx, queries.Get("append_lock").SQL, 1, []int32{5, 7}); err != nil {
			t.Fatal(err)
		}
	}
	run("VACUUM (ANALYZE)")
	for _, name := range names {
		run("PREPARE " + name + " AS " + queries.Get(name).SQL)
		settle(name)
		if _, _, err := explainPrepared(ctx, conn, "", name, pinned[name].args); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		run("ROLLBACK")
	}
	run(slices.DeleteFunc(slices.Clone(fillForPlans), func(s string) bool { return s == "ANALYZE" })...)
	for _, name := range names {
		settle(name)
		root, text, err := explainPrepared(ctx, conn, "ANALYZE, ", name, pinned[name].args)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		run("ROLLBACK")
		rows, _ := root.reads(func(format string, args ...any) { t.Errorf("%s: %s", name, fmt.Sprintf(format, args...)) })
		if rows > pinned[name].rows {
			t.Errorf("%s: reads %.0f rows, want at most %.0f\n%s", name, rows, pinned[name].rows, text)
		}
		if name == "store_journal" && !root.locksInOrder() {
			t.Errorf("%s does not take the wallets one by one in the order of their ids:\n%s", name, text)
		}
		if name == "store_journal" && root.has("Nested Loop") {
			t.Errorf("%s compares every entry of a batch with every wallet of it:\n%s", name, text)
		}
	}
	var anew []string
	if err := conn.QueryRow(ctx, "SELECT array_agg(name) FROM pg_prepared_statements WHERE custom_plans > 0 AND name = ANY ($1)", names).Scan(&anew); err != nil || anew != nil {
		t.Errorf("planned anew: %v, %v", anew, err)
	}
}

// While someone holds a snapshot, no version of a cursor goes, and there is one for each batch. Who looks for a cursor must not
// pass them all.
func TestACursorIsFoundPastTheVersionsThatASnapshotKeeps(t *testing.T) {
	ctx := storagetest.Context(t)
	conn := toReady(t)
	holder := connectedTo(t, conn.Config())
	for _, s := range fillForPlans[:5] {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM event_cursor"} {
		if _, err := holder.Exec(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	for position := int64(1001); position <= 4000; position++ {
		tag, err := conn.Exec(ctx, queries.Get("move_cursors").SQL, "wallet", "g", []int32{5}, []int64{position}, []int64{0})
		if err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("moving the cursor to %d: %v, %v", position, tag, err)
		}
	}
	var era int64
	if err := conn.QueryRow(ctx, "SELECT era FROM event_cursor WHERE partition = 5").Scan(&era); err != nil || era != 4000/64 {
		t.Errorf("at position 4000 the cursor is in era %d, %v, want %d: the versions of one era are passed", era, err, 4000/64)
	}
	pinned := pins()
	for name, most := range map[string]float64{"cursors": 140, "claim": 16, "lock_cursor": 10, "move_cursors": 28} {
		root, text, err := explain(t, conn, name, "force_generic_plan", pinned[name].args)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if touched := root.Hit + root.Read; touched > most {
			t.Errorf("%s touches %.0f pages past 3,000 versions of a cursor, want at most %.0f\n%s", name, touched, most, text)
		}
	}
	// One page of the index has hundreds of them.
	for name, bound := range map[string][2]string{
		"cursors": {"event_cursor_pkey", "era >="}, "claim": {"event_cursor_pkey", "era >="}, "claimed_events": {"event_cursor_pkey", "era >="},
		"blocked_subjects": {"event_cursor_pkey", "era >="}, "move_cursors": {"event_cursor_pkey", "era >="}, "append_events": {"event_log_pkey", `"position" >=`},
	} {
		root, text, err := explain(t, conn, name, "force_generic_plan", pinned[name].args)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		bounded := false
		root.walk(func(p plan) {
			bounded = bounded || p.Index == bound[0] && strings.Contains(p.Cond, bound[1])
		})
		if !bounded {
			t.Errorf("%s looks further back than to where the end was last seen\n%s", name, text)
		}
	}
}

// The same of wallets, whose versions stay on the page of the one before them as long as there is room.
func TestAWalletIsFoundPastTheVersionsThatASnapshotKeeps(t *testing.T) {
	ctx := storagetest.Context(t)
	conn := toReady(t)
	holder := connectedTo(t, conn.Config())
	if _, err := conn.Exec(ctx, fillForPlans[0]); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM registeredsafebox"} {
		if _, err := holder.Exec(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	const versions = 200
	for range versions {
		if _, err := conn.Exec(ctx, "UPDATE registeredsafebox SET balance = balance + 1 WHERE npub <= 'n1006'"); err != nil {
			t.Fatal(err)
		}
	}
	// Those of other wallets fill the pages of the indexes, whose duplicates would then become lists.
	for range versions {
		if _, err := conn.Exec(ctx, "UPDATE registeredsafebox SET balance = balance + 1 WHERE npub > 'n1' AND npub <= 'n1006'"); err != nil {
			t.Fatal(err)
		}
	}
	pinned := pins()
	for name, most := range map[string]float64{"load_balances": 8, "load_wallets": 8, "store_journal": 80} {
		root, text, err := explain(t, conn, name, "force_generic_plan", pinned[name].args)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if touched := root.Hit + root.Read; touched > most {
			t.Errorf("%s touches %.0f pages past %d versions of a wallet, want at most %.0f\n%s", name, touched, versions, most, text)
		}
	}
}

// connectedTo is a connection of its own, for as long as the test runs.
func connectedTo(t *testing.T, c *pgx.ConnConfig) *pgx.Conn {
	t.Helper()
	ctx := storagetest.Context(t)
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(ctx) })
	return conn
}

// A plan for any arguments takes a batch for a tenth of the log: on five million events its cost would have it compiled, or
// shared out to processes, at ten milliseconds a claim.
func TestABatchsPlansAreNeitherCompiledNorSharedOut(t *testing.T) {
	ctx := storagetest.Context(t)
	conn := toReady(t)
	for _, name := range []string{"begin_batch", "settle_plans"} {
		if _, err := conn.Exec(ctx, queries.Get(name).SQL, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	var jit, workers, mode string
	err := conn.QueryRow(ctx, `SELECT current_setting('jit'), current_setting('max_parallel_workers_per_gather'), current_setting('plan_cache_mode')`).
		Scan(&jit, &workers, &mode)
	if err != nil {
		t.Fatal(err)
	}
	if jit != "off" || workers != "0" || mode != "force_generic_plan" {
		t.Errorf("jit is %s, workers are %s, and the plans are %s", jit, workers, mode)
	}
}

func (p plan) has(node string) (has bool) {
	p.walk(func(p plan) { has = has || p.Type == node })
	return has
}

// locksInOrder tells whether the plan updates wallets in the order of their ids.
func (p plan) locksInOrder() (ordered bool) {
	p.walk(func(p plan) {
		if p.Type == "ModifyTable" && p.Relation == "registeredsafebox" {
			ordered = p.Plans[0].Type == "Index Scan" && p.Plans[0].Index == "registeredsafebox_pkey"
		}
	})
	return ordered
}

// explain runs a statement as the server plans it in a mode, and takes back what it did.
func explain(t *testing.T, conn *pgx.Conn, name, mode string, args []any) (plan, string, error) {
	t.Helper()
	ctx := storagetest.Context(t)
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Exec(ctx, "DEALLOCATE pinned") //nolint:errcheck // after the rollback, which an error makes necessary
	defer tx.Rollback(ctx)                    //nolint:errcheck // whatever it did
	if slices.Contains(settled, name) {
		if _, err := tx.Exec(ctx, queries.Get("settle_plans").SQL); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Exec(ctx, "SET LOCAL plan_cache_mode = "+mode); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "PREPARE pinned AS "+queries.Get(name).SQL); err != nil {
		return plan{}, "", err
	}
	return explainPrepared(ctx, tx, "ANALYZE, BUFFERS, ", "pinned", args)
}

type asker interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// explainPrepared tells by which plan the server runs a prepared statement, and runs it where the options ANALYZE it.
func explainPrepared(ctx context.Context, on asker, options, name string, args []any) (plan, string, error) {
	places := make([]string, len(args))
	for i := range args {
		places[i] = fmt.Sprintf("$%d", i+1)
	}
	var text string
	err := on.QueryRow(ctx, "EXPLAIN ("+options+"FORMAT JSON) EXECUTE "+name+" ("+strings.Join(places, ", ")+")",
		append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...).Scan(&text)
	if err != nil {
		return plan{}, "", err
	}
	var found []struct{ Plan plan }
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		return plan{}, "", err
	}
	return found[0].Plan, text, nil
}

// usedIndexes names indexes as table.first_column as well, because the guards and the revisions name some of one column apart.
func usedIndexes(t *testing.T, conn *pgx.Conn, indexes map[string]bool) (names []string) {
	t.Helper()
	for name := range indexes {
		var column string
		err := conn.QueryRow(storagetest.Context(t), `SELECT i.indrelid::regclass || '.' || a.attname
			FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
			WHERE i.indexrelid = $1::regclass`, name).Scan(&column)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name, column)
	}
	slices.Sort(names)
	return names
}
