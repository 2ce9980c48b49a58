package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// A batch tells how long it waited for the rows of others, by which lanes learn that there are too many of them.
func TestABatchTellsHowLongItWaitedForRows(t *testing.T) {
	const group, held = "g", 300 * time.Millisecond
	url := dbtest.PostgreSQL(t)
	db := open(t, url, storage.Options{})
	prepare(t, db)
	ctx := storagetest.Context(t)
	npub := event.EncodeNpub([32]byte{7})
	if err := db.Join(ctx, event.Topic, group); err != nil {
		t.Fatal(err)
	}
	run(t, db, `INSERT INTO registeredsafebox (handle, npub, home_relay, onboard_code, balance) VALUES ('h', '`+npub+`', 'r', 'o', 5)`)
	credited := func(id string) {
		t.Helper()
		e := event.Event{Source: "/s", ID: id, Type: event.TypeFundsCredited, Subject: npub, Time: time.Now(), Data: []byte(`{"amount":1}`)}
		if _, err := db.Append(ctx, event.Topic, []event.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	// process takes the batch to its commit, which may wait, and returns it after that.
	process := func(meanwhile func()) *Batch {
		t.Helper()
		claimed, err := db.Claim(ctx, event.Topic, group, []int{event.Partition(npub)}, 10)
		if err != nil {
			t.Fatal(err)
		}
		b := claimed.(*Batch)
		defer b.Rollback()
		record := b.Records()[0]
		command := ledger.Command{Record: record, Payload: event.FundsCredited{Amount: 1}}
		state, err := b.Load(ctx, ledger.KeysOf([]ledger.Command{command}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := state.Fold(command); err != nil {
			t.Fatal(err)
		}
		if err := b.Store(ctx, state.Changes()); err != nil {
			t.Fatal(err)
		}
		meanwhile()
		if err := b.Commit(ctx, event.UpTo(record)); err != nil {
			t.Fatal(err)
		}
		return b
	}

	credited("1")
	if w := process(func() {}).Waited(); w <= 0 || w >= held {
		t.Errorf("waited %s where nobody had the wallet", w)
	}
	credited("2")
	released := make(chan error, 1)
	b := process(func() {
		other, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		tx, err := other.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(ctx, "SELECT FROM registeredsafebox WHERE npub = $1 FOR UPDATE", npub); err != nil {
			t.Fatal(err)
		}
		go func() {
			defer other.Close(ctx)
			// From when the batch waits for it, the wallet is held for as long as is said.
			_, err := tx.Exec(ctx, `DO $$ BEGIN
				WHILE NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))) LOOP PERFORM pg_sleep(0.005); END LOOP;
				PERFORM pg_sleep(0.3);
			END $$`)
			if err == nil {
				err = tx.Commit(ctx)
			}
			released <- err
		}()
	})
	if err := <-released; err != nil {
		t.Fatal(err)
	}
	if w := b.Waited(); w < held {
		t.Errorf("waited %s for a wallet that was held for %s", w, held)
	}
}
