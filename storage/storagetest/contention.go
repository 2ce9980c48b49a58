package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

var contentionTests = []conformanceTest{
	{"appends at the same time leave positions dense", positionsStayDense},
	{"one identity appended at the same time is appended once", oneIdentityOnce},
	{"two batches that take one handle end with one wallet", oneHandleOnce},
	{"two batches that create one quote end with one quote", oneQuoteOnce},
	{"two batches that were loaded before either committed both pay into one wallet", bothPay},
	{"a refusal for want of funds does not outlive the want", wantIsOver},
	{"a quote that another program settles is credited once", settledElsewhere},
	{"what another program sets in a wallet stays beside what an event sets", setElsewhere},
	{"two batches that together would take a balance out of range do not", bothOverflow},
	{"lanes that transfer crosswise neither deadlock nor lose a sat", lanesTransferCrosswise},
}

// together runs n functions at the same time and returns their errors joined.
func together(n int, do func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func positionsStayDense(t *testing.T, f fixture) {
	const appenders, calls, perCall = 32, 4, 5
	handles := []storage.DB{f.db, f.another(t)}
	people := strangers(3)
	ctx := Context(t)
	err := together(appenders, func(i int) error {
		for call := range calls {
			var events []event.Event
			for n := range perCall {
				events = append(events, credit(fmt.Sprintf("%d/%d/%d", i, call, n), people[(i+call+n)%len(people)], 1))
			}
			receipts, err := handles[i%2].Append(ctx, topic, events)
			if err != nil {
				return err
			}
			last := map[int]int64{}
			for n, r := range receipts {
				if r.Result != event.Appended || r.Position <= last[r.Partition] {
					return fmt.Errorf("event %s: %+v after position %d", events[n].ID, r, last[r.Partition])
				}
				last[r.Partition] = r.Position
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	heads, err := f.db.Heads(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	join(t, f.db)
	total := 0
	for _, p := range people {
		b := mustClaim(t, f.db, event.Partition(p), 10_000)
		var before time.Time
		for i, r := range b.Records() {
			if r.Position != int64(i+1) || r.Subject != p {
				t.Fatalf("the event of %s after %d others stands at %d", r.Subject, i, r.Position)
			}
			if !r.RecordedAt.After(before) {
				t.Errorf("event %d was recorded at %v, the one before at %v: the times must grow", r.Position, r.RecordedAt, before)
			}
			before = r.RecordedAt
		}
		n := len(b.Records())
		if heads[event.Partition(p)] != int64(n) {
			t.Errorf("the head is %d, the last position %d", heads[event.Partition(p)], n)
		}
		total += n
		b.Rollback()
	}
	if total != appenders*calls*perCall {
		t.Errorf("%d events are in the log, want %d", total, appenders*calls*perCall)
	}
}

func oneIdentityOnce(t *testing.T, f fixture) {
	const appenders = 16
	handles := []storage.DB{f.db, f.another(t)}
	people := strangers(appenders)
	receipts := make([]event.Receipt, appenders)
	ctx := Context(t)
	err := together(appenders, func(i int) error {
		r, err := handles[i%2].Append(ctx, topic, []event.Event{credit("one", people[i], 1)})
		if err == nil {
			receipts[i] = r[0]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	appended := 0
	var place event.Receipt
	for _, r := range receipts {
		if r.Result == event.Appended {
			appended++
			place = r
		}
	}
	if appended != 1 {
		t.Fatalf("%d of the appends wrote it, want 1", appended)
	}
	for i, r := range receipts {
		if r.Result != event.Appended && (r.Result != event.Conflict || r.Partition != place.Partition || r.Position != 1) {
			t.Errorf("append %d: %+v, want a conflict with the event at %d, 1", i, r, place.Partition)
		}
	}
	wantRows(t, f.db, "SELECT partition, position FROM event_log", fmt.Sprintf("%d | 1", place.Partition))
}

// contend processes two partitions in two batches that are open at the same time, where the backend lets them; the first
// commits first. The second must fail in a way that a lane tries again, and leave nothing behind.
func contend(t *testing.T, f fixture, first, second int) {
	t.Helper()
	other := f.another(t)
	a := mustClaim(t, f.db, first, 10)
	b, err := other.Claim(inTheWay(t, other), topic, group, []int{second}, 10)
	if err != nil && !refused(err) {
		t.Fatal(err)
	}
	if b != nil {
		defer b.Rollback()
		if got, err := apply(Context(t), b); err != nil || got[len(got)-1] != "applied" {
			t.Fatalf("the second batch, before the first has committed: %v, %v", got, err)
		}
	}
	if _, err := apply(Context(t), a); err != nil {
		t.Fatal(err)
	}
	upTo := a.Records()[len(a.Records())-1].Position
	mustCommit(t, a, upTo)
	if b == nil {
		return
	}
	journal := rows(t, f.db, "SELECT partition, position, leg FROM ledger_entry ORDER BY 1, 2, 3")
	err = commit(Context(t), b, b.Records()[len(b.Records())-1].Position)
	if class := storage.ClassOf(err); class != storage.Unique && class != storage.Busy {
		t.Fatalf("the second commit: %v, want class %s or %s", err, storage.Unique, storage.Busy)
	}
	wantRows(t, f.db, "SELECT partition, position, leg FROM ledger_entry ORDER BY 1, 2, 3", journal...)
	cursors, err := f.db.Cursors(Context(t), topic, group)
	if err != nil {
		t.Fatal(err)
	}
	if cursors[second] != cursorOf(b) {
		t.Errorf("the second batch failed, and moved the cursor from %d to %d", cursorOf(b), cursors[second])
	}
}

func oneHandleOnce(t *testing.T, f fixture) {
	alice, bob := strangers(2)[0], strangers(2)[1]
	mustAppend(t, f.db, registration("1", alice, "handle"), registration("2", bob, "handle"), credit("3", bob, 1))
	join(t, f.db)
	contend(t, f, event.Partition(alice), event.Partition(bob))
	drain(t, f.db)
	wantRows(t, f.db, "SELECT npub, handle FROM registeredsafebox", alice+" | handle")
	for id, want := range map[string]string{"1": "applied", "2": "handle_taken", "3": "unknown_wallet"} {
		if got := outcome(t, f.db, id); got != want {
			t.Errorf("event %s: %s, want %s", id, got, want)
		}
	}
	wantSound(t, f.db)
}

func oneQuoteOnce(t *testing.T, f fixture) {
	alice, bob := strangers(2)[0], strangers(2)[1]
	mustAppend(t, f.db, registration("1", alice, "alice"), registration("2", bob, "bob"))
	drain(t, f.db)
	create := func(id, npub string) event.Event {
		return wallet(id, event.TypeQuoteCreated, npub, `{"quote":"q","amount":5,"mint":"m"}`)
	}
	mustAppend(t, f.db, create("3", alice), create("4", bob))
	contend(t, f, event.Partition(alice), event.Partition(bob))
	drain(t, f.db)
	wantRows(t, f.db, "SELECT npub FROM paymentquote", alice)
	for id, want := range map[string]string{"3": "applied", "4": "quote_taken"} {
		if got := outcome(t, f.db, id); got != want {
			t.Errorf("event %s: %s, want %s", id, got, want)
		}
	}
	wantSound(t, f.db)
}

// payTwice lets two lanes load a payee before either commits, and commits both. It returns what the second commit said.
func payTwice(t *testing.T, f fixture, opening, amount int64) (payee string, second error) {
	people := strangers(3)
	alice, bob, carol := people[0], people[1], people[2]
	mustAppend(t, f.db, registration("1", alice, "alice"), credit("2", alice, 10), registration("3", carol, "carol"),
		credit("4", carol, 10), registration("5", bob, "bob"), credit("6", bob, opening))
	drain(t, f.db)
	mustAppend(t, f.db, transfer("7", alice, bob, amount, 1), transfer("8", carol, bob, amount, 1), credit("9", bob, 1))
	one := mustClaim(t, f.db, event.Partition(alice), 10)
	other := mustClaim(t, f.another(t), event.Partition(carol), 10)
	for _, b := range []event.Batch{one, other} {
		if outcomes, err := apply(Context(t), b); err != nil || outcomes[0] != "applied" {
			t.Fatalf("a transfer: %v, %v", outcomes, err)
		}
	}
	mustCommit(t, one, one.Records()[0].Position)
	return bob, commit(Context(t), other, other.Records()[0].Position)
}

func bothPay(t *testing.T, f fixture) {
	if f.db.Dialect() == storage.SQLite {
		return // batches are one after the other there
	}
	bob, err := payTwice(t, f, 100, 7)
	if err != nil {
		t.Fatal(err)
	}
	drain(t, f.db)
	wantRows(t, f.db, "SELECT seq, amount, balance FROM ledger_entry WHERE subject = '"+bob+"' ORDER BY seq",
		"1 | 0 | 0", "2 | 100 | 100", "3 | 7 | 107", "4 | 7 | 114", "5 | 1 | 115")
	wantSound(t, f.db)
}

func bothOverflow(t *testing.T, f fixture) {
	if f.db.Dialect() == storage.SQLite {
		return // batches are one after the other there
	}
	_, err := payTwice(t, f, event.MaxAmount-10, 7)
	if storage.ClassOf(err) != storage.Check {
		t.Fatalf("the commit that would take the balance out of range: %v, want class %s", err, storage.Check)
	}
	drain(t, f.db)
	if got := outcome(t, f.db, "8"); got != "balance_overflow" {
		t.Errorf("the second transfer in the end: %s", got)
	}
	wantSound(t, f.db)
}

// A debit is decided on a balance that another lane tops up before the debit is stored. The journal must not hold a refusal
// beside a balance that was enough.
func wantIsOver(t *testing.T, f fixture) {
	if f.db.Dialect() == storage.SQLite {
		return // batches are one after the other there
	}
	people := strangers(2)
	alice, bob := people[0], people[1]
	mustAppend(t, f.db, registration("1", alice, "alice"), credit("2", alice, 100), registration("3", bob, "bob"), credit("4", bob, 10))
	drain(t, f.db)
	debit := func(id string, amount int) event.Event {
		return wallet(id, event.TypeFundsDebited, bob, fmt.Sprintf(`{"amount":%d}`, amount))
	}
	mustAppend(t, f.db, debit("5", 17), debit("6", 500), transfer("7", alice, bob, 7, 0))
	late := mustClaim(t, f.db, event.Partition(bob), 10)
	if outcomes, err := apply(Context(t), late); err != nil || outcomes[0] != "insufficient_funds" {
		t.Fatalf("the debit, before the transfer: %v, %v", outcomes, err)
	}
	if _, err := process(Context(t), f.another(t), event.Partition(alice), 10); err != nil {
		t.Fatal(err)
	}
	err := commit(Context(t), late, late.Records()[1].Position)
	if storage.ClassOf(err) != storage.Serialization {
		t.Fatalf("storing the refusal: %v, want class %s", err, storage.Serialization)
	}
	drain(t, f.db)
	for id, want := range map[string]string{"5": "applied", "6": "insufficient_funds", "7": "applied"} {
		if got := outcome(t, f.db, id); got != want {
			t.Errorf("event %s: %s, want %s", id, got, want)
		}
	}
	wantSound(t, f.db)
}

// settledElsewhere has another program, which knows no log, settle a quote while a batch that pays it is under way.
func settledElsewhere(t *testing.T, f fixture) {
	if f.db.Dialect() == storage.SQLite {
		return // there is one writer at a time there
	}
	alice := person(1)
	mustAppend(t, f.db, registration("1", alice, "alice"), wallet("2", event.TypeQuoteCreated, alice, `{"quote":"q","amount":5,"mint":"https://mint"}`))
	drain(t, f.db)
	mustAppend(t, f.db, wallet("3", event.TypeQuotePaid, alice, `{"quote":"q"}`))
	late := mustClaim(t, f.another(t), event.Partition(alice), 10)
	if outcomes, err := apply(Context(t), late); err != nil || outcomes[0] != "applied" {
		t.Fatalf("before it was settled: %v, %v", outcomes, err)
	}
	damage(t, f.db, "UPDATE paymentquote SET paid = true")
	if err := commit(Context(t), late, late.Records()[0].Position); storage.ClassOf(err) != storage.Serialization {
		t.Fatalf("storing the payment: %v, want class %s", err, storage.Serialization)
	}
	drain(t, f.db)
	if got := outcome(t, f.db, "3"); got != "quote_paid" {
		t.Errorf("the payment ended as %s, want quote_paid", got)
	}
	wantRows(t, f.db, "SELECT balance FROM registeredsafebox", "0")
}

func setElsewhere(t *testing.T, f fixture) {
	if f.db.Dialect() == storage.SQLite {
		return // there is one writer at a time there
	}
	alice := person(1)
	mustAppend(t, f.db, registration("1", alice, "alice"))
	drain(t, f.db)
	mustAppend(t, f.db, wallet("2", event.TypeWalletUpdated, alice, `{"owner":"npub1owner"}`))
	late := mustClaim(t, f.another(t), event.Partition(alice), 10)
	if outcomes, err := apply(Context(t), late); err != nil || outcomes[0] != "applied" {
		t.Fatalf("before another program set anything: %v, %v", outcomes, err)
	}
	damage(t, f.db, "UPDATE registeredsafebox SET custom_handle = 'ally', home_relay = 'wss://new', access_key = 'key', currency_code = 'USD', owner = 'x'")
	if err := commit(Context(t), late, late.Records()[0].Position); err != nil {
		t.Fatal(err)
	}
	wantRows(t, f.db, "SELECT custom_handle, owner, home_relay, access_key, currency_code FROM registeredsafebox",
		"ally | npub1owner | wss://new | key | USD")
}

func lanesTransferCrosswise(t *testing.T, f fixture) {
	const wallets, events, lanes = 20, 2000, 4
	people := strangers(wallets)
	var opening, crossing []event.Event
	for i, p := range people {
		opening = append(opening, registration(fmt.Sprint("r", i), p, fmt.Sprint("handle", i)), credit(fmt.Sprint("c", i), p, 1000))
	}
	mustAppend(t, f.db, opening...)
	drain(t, f.db)
	for i := range events {
		from, to := i%wallets, (i*7+i/wallets+1)%wallets
		crossing = append(crossing, transfer(fmt.Sprint("t", i), people[from], people[to], int64(i%90+1), 1))
	}
	mustAppend(t, f.db, crossing...)

	handles := []storage.DB{f.db, f.another(t)}
	ctx := Context(t)
	err := together(lanes, func(lane int) error { return work(ctx, handles[lane%2], lane*event.Partitions/lanes) })
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.db.Audit(Context(t), topic, group)
	if err != nil {
		t.Fatal(err)
	}
	if !a.OK || a.Pending != 0 || a.Applied+a.Rejected != events+2*wallets || a.Applied < events/2 {
		t.Errorf("audit: OK %v, %d pending, %d applied, %d rejected %v, findings %+v", a.OK, a.Pending, a.Applied, a.Rejected, a.Reasons, a.Findings)
	}
	if !a.BalanceTotal.Plus(a.FeeTotal).Equal(ledger.Sats(1000 * wallets)) {
		t.Errorf("%s sats are left of %d and %s went to fees", a.BalanceTotal, 1000*wallets, a.FeeTotal)
	}
}

// work is a lane: it takes the partitions in turn, from one on, until nothing is pending. A deadlock is an error; that
// another lane has a partition, or the file, or has overtaken a decision, is not.
func work(ctx context.Context, db storage.DB, from int) error {
	for {
		heads, err := db.Heads(ctx, topic)
		if err != nil {
			return err
		}
		cursors, err := db.Cursors(ctx, topic, group)
		if err != nil {
			return err
		}
		if heads == cursors {
			return nil
		}
		for i := range event.Partitions {
			p := (from + i) % event.Partitions
			if heads[p] == cursors[p] {
				continue
			}
			_, err := process(ctx, db, p, 25)
			class := storage.ClassOf(err)
			if err != nil && !errors.Is(err, event.ErrClaimed) && class != storage.Busy && class != storage.Serialization {
				return fmt.Errorf("partition %d: %w", p, err)
			}
		}
	}
}
