package sqlite

import (
	"database/sql"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
)

// fillForPlans makes tables so large, with statistics, that the planner knows what it must not scan.
var fillForPlans = []string{
	`INSERT INTO registeredsafebox (handle, custom_handle, npub, home_relay, onboard_code, access_key, emergency_code, balance)
		SELECT 'h' || value, 'c' || value, 'n' || value, 'r', 'o', 'k' || value, 'e' || value, 100 FROM generate_series(1, 5000)`,
	`INSERT INTO event_log (topic, partition, position, source, id, type, subject, time, data, recorded_at)
		SELECT 'wallet', value % 64, value / 64 + 1, '/s' || (value % 3), 'id' || value,
			CASE WHEN value % 6 = 0 THEN 'safebox.wallet.registered.v1' ELSE 'safebox.funds.credited.v1' END,
			'n' || (value % 5000), '2026', '{"amount":1}', '2026'
		FROM generate_series(0, 31999)`,
	`INSERT INTO ledger_entry (partition, position, leg, subject, seq, type, outcome, amount, fee, balance, at)
		SELECT value % 64, value / 64 + 1, 0, 'n' || (value % 5000), value / 5000 + 1, 'safebox.funds.credited.v1', 'applied', 1, 0, 1, '2026'
		FROM generate_series(0, 31999)`,
	`INSERT INTO event_cursor (topic, consumer_group, partition, position) SELECT 'wallet', 'g', value, 100 FROM generate_series(0, 63)`,
	`INSERT INTO parked_event (topic, consumer_group, partition, position, subject, error, attempts, parked_at)
		SELECT 'wallet', 'g', value % 2, value / 2 + 1, 'n' || (value % 500), 'why', 1, '2026' FROM generate_series(0, 4999)`,
	`INSERT INTO parked_action (topic, consumer_group, subject, number, action, actor, reason, first_position, last_position, events, error, at)
		SELECT 'wallet', 'g', 'n' || (value % 500), value / 500 + 1, 'retry', 'a', '', 1, 1, 1, '', '2026' FROM generate_series(0, 4999)`,
	`INSERT INTO paymentquote (nsec, handle, quote, amount, mint, paid, npub)
		SELECT '', 'h' || value, 'q' || value, 1, 'm', false, 'n' || value FROM generate_series(1, 5000)`,
	`INSERT INTO nwcsecret (nwc_secret, npub) SELECT 's' || value, 'n' || value FROM generate_series(1, 5000)`,
	`INSERT INTO nwcevent (event_id) SELECT 'e' || value FROM generate_series(1, 5000)`,
	`INSERT INTO nfcrequesternonce (requester_pubkey, flow, nonce, requester_ts, used_at)
		SELECT 'p' || (value % 100), 'f', 'n' || value, 1, '2026' FROM generate_series(1, 5000)`,
	`INSERT INTO receiveofferbootstrap (nonce, nauth, grant_kind, offer_kind, host, created_at)
		SELECT 'n' || value, 'a', 1, 1, 'h', '2026' FROM generate_series(1, 5000)`,
	`ANALYZE`,
}

// small are the tables that may be read whole, and what is no table.
var small = []string{"currencyrate", "safebox_replica", "sqlite_schema", "json_each", "CONSTANT"}

// pins are the tables that each hot statement searches by an index, in the order of the plan.
var pins = map[string]string{
	"append_event": "", "known_event": "event_log", "head": "event_log", "latest": "l p", "heads": "l",
	"events_by_id": "event_log", "events_by_id_any_source": "event_log l l", "read_log": "event_log", "recorded_at": "event_log",

	"join_group": "", "cursors": "event_cursor", "claim": "event_cursor", "read_batch": "event_log", "blocked_subjects": "parked_event l p",
	"claim_parked": "parked_event l", "move_cursor": "event_cursor", "unpark_events": "parked_event", "park_events": "", "note_action": "parked_action",

	"load_balances": "registeredsafebox", "load_wallets": "registeredsafebox", "load_awaited": "t r c",
	"load_owners":  "registeredsafebox registeredsafebox registeredsafebox registeredsafebox",
	"load_secrets": "nwcsecret", "load_quotes": "paymentquote", "load_nwc_events": "nwcevent", "load_nonces": "nfcrequesternonce",
	"load_offers": "receiveofferbootstrap",

	"store_registered": "", "store_moved": "registeredsafebox", "store_profiled": "registeredsafebox", "store_created_quotes": "",
	"store_settled_quotes": "paymentquote", "clear_secrets": "nwcsecret", "store_secrets": "", "store_nwc_events": "", "store_nonces": "",
	"store_offers": "", "store_entries": "",

	"wallet_by_key": "registeredsafebox registeredsafebox registeredsafebox", "wallets": "registeredsafebox", "entries": "ledger_entry",
	"entries_without_seq": "ledger_entry", "entries_at": "ledger_entry", "parked_at": "p l", "oldest_pending": "c l",
}

// cold are the statements whose plan does not matter, and why.
var cold = map[string]string{
	"ping": "reads no table", "data_version": "reads no table", "clock": "reads no table", "vitals": "reads no table",
	"load_rates": "currencyrate has a row a currency", "store_rates": "currencyrate has a row a currency",
	"beat": "safebox_replica has a row a process", "sweep_replicas": "the same", "leave": "the same", "replicas": "the same",
	"parked": "for people, who ask for what is parked", "parked_actions": "for people", "parked_subjects": "for an operator who retries everything",
	"parked_count": "counts what is parked, which is nothing as a rule",
}

// isCold tells whether a statement needs no pin.
func isCold(name string) bool {
	return cold[name] != "" || strings.HasPrefix(name, "init_") || // once a process
		strings.HasPrefix(name, "audit_") || // reads everything, on purpose
		strings.HasPrefix(name, "backup_") || strings.HasPrefix(name, "restore_") // a row a backup, and for an operator
}

var planStep = regexp.MustCompile(`^(SEARCH|SCAN) (\S+)`)

// Every statement that the lanes, the appends and the readers live on keeps its plan on tables that have grown.
func TestThePlansOfHotStatementsArePinned(t *testing.T) {
	url := dbtest.SQLite(t)
	storagetest.Ready(t, url)
	conn, err := sql.Open("sqlite3", "file:"+strings.TrimPrefix(url, "sqlite:///"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := storagetest.Context(t)
	series := `WITH RECURSIVE series (value) AS (SELECT %1 UNION ALL SELECT value + 1 FROM series WHERE value < %2) `
	between := regexp.MustCompile(`generate_series\((\d+), (\d+)\)`)
	for _, s := range fillForPlans {
		if ends := between.FindStringSubmatch(s); ends != nil {
			s = strings.NewReplacer("%1", ends[1], "%2", ends[2]).Replace(series) + between.ReplaceAllString(s, "series")
		}
		if _, err := conn.ExecContext(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	for _, name := range queries.Names() {
		if _, ok := pins[name]; ok == isCold(name) {
			t.Errorf("the statement %s must be either pinned or cold, with the reason", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(pins)) {
		var searched []string
		for _, detail := range explain(t, conn, queries.Get(name).SQL) {
			step := planStep.FindStringSubmatch(detail)
			switch {
			case step == nil:
			case step[1] == "SEARCH":
				searched = append(searched, step[2])
				if name == "blocked_subjects" && step[2] == "p" && !strings.Contains(detail, "parked_event_subject") {
					t.Errorf("%s reads all that is parked of the partition: %s", name, detail)
				}
			case !slices.Contains(small, step[2]) && !strings.Contains(detail, "VIRTUAL TABLE") && !harmlessScan(name, step[2]):
				t.Errorf("%s reads all of %s: %s", name, step[2], detail)
			}
		}
		slices.Sort(searched)
		want := strings.Fields(pins[name])
		slices.Sort(want)
		if !slices.Equal(searched, want) {
			t.Errorf("%s searches %v by an index, want %v", name, searched, want)
		}
	}
}

// explain gives the steps of a statement's plan.
func explain(t *testing.T, conn *sql.DB, text string) (steps []string) {
	t.Helper()
	rows, err := conn.QueryContext(storagetest.Context(t), "EXPLAIN QUERY PLAN "+text, slices.Repeat([]any{nil}, parameters(text))...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}

// harmlessScan tells whether what is scanned is a result of the statement's own, of a few rows.
func harmlessScan(statement, what string) bool {
	switch statement {
	case "events_by_id_any_source":
		return what == "s" || what == "sources"
	case "blocked_subjects", "claim_parked":
		return strings.HasPrefix(what, "(") || what == "p"
	}
	return false
}

// parameters is how many parameters a statement has.
func parameters(text string) int {
	most := 0
	for _, m := range regexp.MustCompile(`\?(\d+)`).FindAllStringSubmatch(text, -1) {
		n := 0
		for _, digit := range m[1] {
			n = 10*n + int(digit-'0')
		}
		most = max(most, n)
	}
	return most
}
