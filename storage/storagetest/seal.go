package storagetest

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

var sealTests = []conformanceTest{
	{"keeps secrets sealed, opens them for the ledger, and knows a repeat", keepsSecretsSealed},
	{"knows a repeat of what an older key sealed, or none did", knowsRepeatsAcrossKeys},
	{"refuses secrets without a key beside the other events", refusesSecretsWithoutAKey},
	{"does not open what was moved to another event", staysClosedElsewhere},
}

const (
	olderKey = "2f2e2d2c2b2a292827262524232221201f1e1d1c1b1a19181716151413121110"
	newerKey = "405f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d"
)

// with is another handle on the database, whose keys are others.
func (f fixture) with(t *testing.T, keys *event.Keyring) storage.DB {
	t.Helper()
	return openWith(t, f.url, keys)
}

func secretive(npub string) []event.Event {
	return []event.Event{
		wallet("open", event.TypeWalletRegistered, npub, `{"npub":"`+npub+`","handle":"alice","home_relay":"r","onboard_code":"c",`+
			`"access_key":"hush 1","emergency_code":"hush 2"}`),
		wallet("key", event.TypeWalletAccessKeyRotated, npub, `{"access_key":"hush 3"}`),
		wallet("nwc", event.TypeWalletNWCRotated, npub, `{"nwc_secret":"hush 4"}`),
		wallet("revoke", event.TypeWalletAccessKeyRotated, npub, `{"access_key":null}`),
		credit("sats", npub, 5),
	}
}

func results(t *testing.T, db storage.DB, events ...event.Event) []event.Result {
	t.Helper()
	receipts, err := db.Append(Context(t), topic, events)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]event.Result, len(receipts))
	for i, r := range receipts {
		all[i] = r.Result
		if (r.Refusal != nil) != (r.Result == event.Refused) {
			t.Errorf("event %s: %+v", events[i].ID, r)
		}
	}
	return all
}

func wantResults(t *testing.T, got []event.Result, want ...event.Result) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func keepsSecretsSealed(t *testing.T, f fixture) {
	alice := person(1)
	events := secretive(alice)
	twice := append(append([]event.Event{}, events...), events[0], events[2])
	wantResults(t, results(t, f.db, twice...), event.Appended, event.Appended, event.Appended, event.Appended, event.Appended, event.Duplicate, event.Duplicate)
	wantResults(t, results(t, f.db, events...), event.Duplicate, event.Duplicate, event.Duplicate, event.Duplicate, event.Duplicate)
	other := events[2]
	other.Data = []byte(`{"nwc_secret":"hush 5"}`)
	wantResults(t, results(t, f.db, other), event.Conflict)

	data := rows(t, f.db, "SELECT data FROM event_log ORDER BY position")
	for i, sealed := range []int{2, 1, 1, 0, 0} {
		if n := strings.Count(data[i], `{"sealed":"v1.`); n != sealed || strings.Contains(data[i], "hush") {
			t.Errorf("the log has %s", data[i])
		}
	}
	drain(t, f.db)
	wantRows(t, f.db, "SELECT access_key, emergency_code, balance FROM registeredsafebox", " | hush 2 | 5")
	wantRows(t, f.db, "SELECT nwc_secret FROM nwcsecret", "hush 4")
	wantRows(t, f.db, "SELECT count(*) FROM ledger_entry WHERE outcome = 'applied'", "5")
	wantSound(t, f.db)

	// Without the keys the books can be proved, for what moved is no secret; folding the log again takes them.
	keyless := f.with(t, nil)
	audit, err := keyless.Audit(Context(t), topic, group)
	if err != nil || !audit.OK {
		t.Errorf("an audit without keys: %v, %+v", err, audit.Findings)
	}
	var closed *event.SealedError
	if _, err = keyless.Rebuild(Context(t), topic, group, func(int64) {}); !errors.As(err, &closed) || closed.Known {
		t.Errorf("a rebuild without keys: %v", err)
	}
}

func knowsRepeatsAcrossKeys(t *testing.T, f fixture) {
	alice := person(1)
	events := secretive(alice)[:3]
	old, rotated := f.with(t, keyring(olderKey)), f.with(t, keyring(newerKey+","+olderKey))
	wantResults(t, results(t, old, events...), event.Appended, event.Appended, event.Appended)
	// One of them comes from before there was a key.
	damage(t, f.db, `UPDATE event_log SET data = '{"access_key":"hush 3"}' WHERE id = 'key'`)
	wantResults(t, results(t, rotated, events...), event.Duplicate, event.Duplicate, event.Duplicate)
	other := events[2]
	other.Data = []byte(`{"nwc_secret":"hush 5"}`)
	next := wallet("next", event.TypeWalletNWCRotated, alice, `{"nwc_secret":"hush 6"}`)
	wantResults(t, results(t, rotated, other, next), event.Conflict, event.Appended)
	wantResults(t, results(t, rotated, next), event.Duplicate)

	// Where the older key was dropped nobody can tell, and it is not guessed.
	dropped := f.with(t, keyring(newerKey))
	receipts, err := dropped.Append(Context(t), topic, []event.Event{events[0], next})
	if err != nil || receipts[0].Result != event.Refused || receipts[1].Result != event.Duplicate ||
		!strings.Contains(receipts[0].Refusal.Error(), keyring(olderKey).IDs()[0]) {
		t.Errorf("without the older key: %+v, %v", receipts, err)
	}

	drain(t, rotated)
	wantRows(t, f.db, "SELECT nwc_secret FROM nwcsecret", "hush 6")
	wantSound(t, rotated)
}

func refusesSecretsWithoutAKey(t *testing.T, f fixture) {
	alice := person(1)
	events := secretive(alice)
	receipts, err := f.with(t, nil).Append(Context(t), topic, events)
	if err != nil {
		t.Fatal(err)
	}
	for i, field := range []string{"data.access_key", "data.access_key", "data.nwc_secret", "", ""} {
		r := receipts[i]
		switch {
		case field == "" && r.Result != event.Appended:
			t.Errorf("event %s: %+v", events[i].ID, r)
		case field != "" && (r.Refusal == nil || r.Refusal.Field != field || r.Refusal.ID != events[i].ID ||
			!strings.Contains(r.Refusal.Reason, event.KeyVariable) || strings.Contains(r.Refusal.Error(), "hush")):
			t.Errorf("event %s: %+v", events[i].ID, r.Refusal)
		}
	}
	wantRows(t, f.db, "SELECT id FROM event_log ORDER BY id", "revoke", "sats")
	wantResults(t, results(t, f.with(t, nil), events[0]), event.Refused)
}

func staysClosedElsewhere(t *testing.T, f fixture) {
	alice, mallory := person(1), person(2)
	mustAppend(t, f.db, secretive(alice)[:3]...)
	mustAppend(t, f.db, registration("mallory", mallory, "mallory"), wallet("mine", event.TypeWalletNWCRotated, mallory, `{"nwc_secret":"mine"}`))
	damage(t, f.db, `UPDATE event_log SET data = (SELECT data FROM event_log WHERE id = 'nwc') WHERE id = 'mine'`)
	var closed *event.SealedError
	join(t, f.db)
	if _, err := processAll(Context(t), f.db, event.Partition(alice)); err != nil {
		t.Fatal(err)
	}
	if _, err := processAll(Context(t), f.db, event.Partition(mallory)); !errors.As(err, &closed) || !closed.Known {
		t.Errorf("processing a secret of another wallet: %v", err)
	}
	wantRows(t, f.db, "SELECT nwc_secret FROM nwcsecret", "hush 4")
}
