package main

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/event"
)

// as is the database's URL for another role, whose password is its name.
func as(t *testing.T, database, role string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, role)
	return u.String()
}

// applyRoles runs deploy/postgresql/roles.sql as the owner of the server.
func applyRoles(t *testing.T, database string) {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("..", "..", "deploy", "postgresql", "roles.sql"))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("default_query_exec_mode", "simple_protocol") // for several statements at once
	u.RawQuery = q.Encode()
	db, err := sql.Open("pgx", u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), string(script)); err != nil {
		t.Fatal(err)
	}
}

// oneOfEach is an event of every type of the catalogue, each of which is applied.
func oneOfEach() []byte {
	alice, bob := event.EncodeNpub([32]byte{1}), event.EncodeNpub([32]byte{2})
	var b strings.Builder
	for i, e := range []struct{ typ, subject, data string }{
		{event.TypeWalletRegistered, alice, fmt.Sprintf(`{"npub":%q,"handle":"alice","home_relay":"r","onboard_code":"c","access_key":"k","emergency_code":"e"}`, alice)},
		{event.TypeWalletRegistered, bob, fmt.Sprintf(`{"npub":%q,"handle":"bob","home_relay":"r","onboard_code":"c"}`, bob)},
		{event.TypeWalletUpdated, alice, `{"custom_handle":"ally","owner":"o","home_relay":"r2","currency_code":"EUR"}`},
		{event.TypeWalletAccessKeyRotated, alice, `{"access_key":"k2"}`},
		{event.TypeWalletNWCRotated, alice, `{"nwc_secret":"s1"}`},
		{event.TypeWalletNWCRotated, alice, `{"nwc_secret":"s2"}`},
		{event.TypeFundsCredited, alice, `{"amount":100}`},
		{event.TypeFundsDebited, alice, `{"amount":10,"fee":1}`},
		{event.TypeFundsTransferred, alice, fmt.Sprintf(`{"to":%q,"amount":10}`, bob)},
		{event.TypeQuoteCreated, alice, `{"quote":"q","amount":5,"mint":"m"}`},
		{event.TypeQuotePaid, alice, `{"quote":"q"}`},
		{event.TypeNWCReceived, alice, `{"event_id":"e"}`},
		{event.TypeNonceUsed, "r", `{"requester_pubkey":"r","flow":"f","nonce":"n","requester_ts":1}`},
		{event.TypeOfferOpened, "n", `{"nonce":"n","nauth":"a","grant_kind":1,"offer_kind":2,"host":"h"}`},
		{event.TypeCurrencyQuoted, "EUR", `{"rate":2,"refreshed_at":"2036-01-01T00:00:00Z"}`},
	} {
		fmt.Fprintf(&b, `{"specversion":"1.0","source":"/each","id":"%d","type":%q,"subject":%q,"data":%s}`+"\n", i, e.typ, e.subject, e.data)
	}
	return []byte(b.String())
}

func TestTheRuntimeRoleCanDoItsWorkAndNoMore(t *testing.T) {
	t.Parallel() // its processes wait for one another
	owner := dbtest.PostgreSQL(t)
	applyRoles(t, owner)
	newSite(t, owner).exec("ALTER ROLE safebox_migration PASSWORD 'safebox_migration'", "ALTER ROLE safebox_runtime PASSWORD 'safebox_runtime'")
	migration := newSite(t, as(t, owner, "safebox_migration"))
	runtime := newSite(t, as(t, owner, "safebox_runtime"), secretKey)

	// It prepares no database, and says who does.
	if r := runtime.run("worker", "--until-idle"); r.code != exitConfig || !strings.Contains(r.stderr, "safebox init") {
		t.Errorf("on an empty database: exit %d\n%s", r.code, r.stderr)
	}
	migration.ok("init")
	applyRoles(t, owner) // now that there are tables
	runtime.ok("init")   // which finds it ready

	runtime.publish(runtime.write("each.jsonl", oneOfEach()))
	script := demo.NewScript(5, 300)
	runtime.publish(runtime.write("script.jsonl", lines(append(script.Setup, script.Activity...))))
	ps := runtime.workers(1)
	runtime.idle()
	poisoned := event.EncodeNpub([32]byte{1})
	newSite(t, owner).poison("bad", poisoned, `{"amount":0}`)
	eventually(t, "the poison is parked", func() (bool, string) {
		n := 0
		err := runtime.sql().QueryRow("SELECT count(*) FROM parked_event").Scan(&n)
		return err == nil && n == 1, fmt.Sprint(n, err)
	})
	if r := runtime.run("parked", "retry", poisoned); r.code != exitData { // it fails again
		t.Errorf("retry: exit %d\n%s", r.code, r.stderr)
	}
	runtime.ok("parked", "skip", poisoned, "--reason", "a typing error")
	runtime.ok("status")
	if r := runtime.run("doctor"); strings.Contains(r.stdout, "the role lacks") || !strings.Contains(r.stdout, "\nwarning  rights") {
		t.Errorf("the doctor misses rights:\n%s%s", r.stdout, r.stderr)
	}
	runtime.ok("migrate", "current")
	runtime.ok("wallet", "show", "ally")
	runtime.ok("event", "tail", "--group", "readers")
	for _, p := range ps {
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != 0 {
			t.Errorf("a worker ended with %d", code)
		}
	}
	runtime.ok("audit", "--rebuild")
	var rejected int
	if err := runtime.sql().QueryRow(`SELECT count(*) FROM ledger_entry e JOIN event_log l USING (partition, position)
		WHERE l.source = '/each' AND e.outcome <> 'applied'`).Scan(&rejected); err != nil || rejected != 0 {
		t.Errorf("%d of one event of each type were rejected, %v", rejected, err)
	}

	db := runtime.sql()
	for _, statement := range []string{
		"CREATE TABLE mine (id int)", "CREATE TEMP TABLE mine (id int)", "CREATE SCHEMA mine", "CREATE ROLE mine", "CREATE EXTENSION pgcrypto",
		"CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE TRIGGER t BEFORE INSERT ON event_log FOR EACH ROW EXECUTE FUNCTION x()",
		"ALTER TABLE event_log ADD COLUMN mine int", "DROP TABLE event_log", "DROP INDEX event_log_registration", "TRUNCATE event_log", "TRUNCATE ledger_entry",
		"UPDATE event_log SET data = '{}'", "DELETE FROM event_log", "UPDATE ledger_entry SET amount = 1", "DELETE FROM ledger_entry",
		"DELETE FROM parked_action", "UPDATE parked_action SET actor = 'nobody'", "UPDATE parked_event SET subject = 'x'",
		"DELETE FROM registeredsafebox", "UPDATE registeredsafebox SET opening_balance = 1000000", "UPDATE registeredsafebox SET npub = 'x'",
		"UPDATE registeredsafebox SET handle = 'x'", "UPDATE registeredsafebox SET emergency_code = 'x'", "DELETE FROM paymentquote",
		"UPDATE paymentquote SET amount = 1", "UPDATE nwcsecret SET npub = 'x'", "DELETE FROM nwcevent", "DELETE FROM nfcrequesternonce",
		"DELETE FROM receiveofferbootstrap", "INSERT INTO currencyrate (currency_code) VALUES ('XXX')", "DELETE FROM currencyrate",
		"UPDATE event_cursor SET partition = 1", "DELETE FROM event_cursor", "UPDATE safebox_init SET state = 'failed'", "DELETE FROM safebox_init",
		"INSERT INTO safebox_init (id, state, epoch, digest, holder, started_at) VALUES (1, '', 1, '', '', now())",
		"UPDATE alembic_version SET version_num = 'x'", "DELETE FROM alembic_version", "SET ROLE safebox_migration",
		"SELECT pg_read_file('/etc/passwd')",
		"COPY event_log TO PROGRAM 'cat'", "SELECT * FROM pg_authid", "CREATE DATABASE mine", "ALTER ROLE safebox_runtime CREATEDB",
	} {
		_, err := db.ExecContext(t.Context(), statement)
		var refusal interface{ SQLState() string }
		if !errors.As(err, &refusal) || refusal.SQLState() != "42501" {
			t.Errorf("%s: %v, want it refused for want of a right", statement, err)
		}
	}
}
