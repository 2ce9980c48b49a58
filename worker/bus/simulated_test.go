package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// purse is a wallet of the simulation.
type purse struct{ balance, entries int64 }

// simulated is a database in memory for one schedule: a log that is there from the start, and what lanes make of it. It keeps
// the books twice, as the lanes store them and as a plain reference has them, which folds the same events one by one.
type simulated struct {
	event.Log // what no lane calls
	s         *schedule

	records  map[int][]event.Record // by partition
	places   []int                  // the partitions that have records
	heads    event.Positions        // where they end
	cursors  event.Positions
	claimed  map[int]bool
	parked   map[int][]event.Record
	accounts map[string]ledger.Account
	entries  []ledger.Entry
	purses   map[string]purse // of the reference
	wrong    error            // the first thing that was not right
}

var (
	errGone      = errors.New("the lane is gone")
	errPassing   = &storage.Error{Statement: "simulated", Class: storage.Connection, Err: errors.New("connection lost")}
	errOvertaken = &storage.Error{Statement: "simulated", Class: storage.Serialization, Err: errors.New("paid into since")}
	errInput     = &storage.Error{Statement: "simulated", Class: storage.Unique, Err: errors.New("taken"), OfInput: true}
)

func (d *simulated) fail(format string, args ...any) {
	if d.wrong == nil {
		d.wrong = fmt.Errorf(format, args...)
	}
}

// Claim implements event.Log.
func (d *simulated) Claim(ctx context.Context, _, _ string, ps []int, limit int) (event.Batch, error) {
	if err := d.s.reach(ctx, "claim"); err != nil {
		return nil, err
	}
	b := &batchInMemory{d: d, cursors: map[int]int64{}, blocked: map[string]bool{}}
	for _, p := range ps {
		if d.claimed[p] {
			continue
		}
		d.claimed[p] = true
		from := d.cursors[p]
		b.cursors[p] = from
		b.records = append(b.records, d.records[p][from:min(int(from)+limit, len(d.records[p]))]...)
		for _, r := range d.parked[p] {
			b.blocked[r.Subject] = true
		}
	}
	if len(b.cursors) == 0 {
		return nil, event.ErrClaimed
	}
	b.records = event.Merge(b.records)
	return b, nil
}

// ClaimParked implements event.Log.
func (d *simulated) ClaimParked(_ context.Context, _, _, subject string) (event.Batch, error) {
	p := event.Partition(subject)
	var records []event.Record
	for _, r := range d.parked[p] {
		if r.Subject == subject {
			records = append(records, r)
		}
	}
	if len(records) == 0 {
		return nil, event.ErrNotFound
	}
	return &batchInMemory{d: d, cursors: map[int]int64{p: d.cursors[p]}, records: records, operator: true}, nil
}

// batchInMemory is a transaction.
type batchInMemory struct {
	d        *simulated
	cursors  map[int]int64
	records  []event.Record
	blocked  map[string]bool
	operator bool // it is of parked events
	ended    bool
	changes  ledger.Changes
	setAside []event.Record
	knew     map[string]bool // the wallets that were there when the batch was loaded
}

func (b *batchInMemory) Records() []event.Record              { return b.records }
func (b *batchInMemory) Cursors() map[int]int64               { return b.cursors }
func (b *batchInMemory) Waited() time.Duration                { return 0 }
func (b *batchInMemory) Blocked() map[string]bool             { return b.blocked }
func (b *batchInMemory) Note(event.ParkedAction)              {}
func (b *batchInMemory) Rollback()                            { b.end() }
func (b *batchInMemory) Park(r event.Record, _ string, _ int) { b.setAside = append(b.setAside, r) }

func (b *batchInMemory) end() {
	if !b.ended && !b.operator {
		for p := range b.cursors {
			b.d.claimed[p] = false
		}
	}
	b.ended = true
}

// Open implements ledger.Tx: nothing is sealed here.
func (b *batchInMemory) Open(r event.Record) (event.Record, error) { return r, nil }

// Load implements ledger.Tx.
func (b *batchInMemory) Load(ctx context.Context, k ledger.Keys) (*ledger.State, error) {
	d := b.d
	if err := d.s.reach(ctx, "load"); err != nil {
		return nil, err
	}
	s := ledger.NewState()
	for _, npub := range k.Npubs {
		if a, there := d.accounts[npub]; there {
			s.AddAccount(a)
		}
	}
	for _, a := range d.accounts {
		if slices.Contains(k.Handles, a.Handle) {
			s.AddHandle(a.Handle, a.Npub)
		}
	}
	for _, t := range s.Unpayable(k.Transfers) {
		transfer, p := d.records[t.Partition][t.Position-1], event.Partition(t.Payee)
		for _, r := range d.records[p][d.cursors[p]:] {
			if r.Subject == t.Payee && r.Type == event.TypeWalletRegistered && r.RecordedAt.Before(transfer.RecordedAt) {
				s.AddAwaited(t.Place)
				break
			}
		}
	}
	b.knew = map[string]bool{}
	for npub := range d.accounts {
		b.knew[npub] = true
	}
	return s, nil
}

// Store implements ledger.Tx.
func (b *batchInMemory) Store(_ context.Context, c ledger.Changes) error {
	b.changes = c
	return nil
}

// Commit implements event.Batch.
func (b *batchInMemory) Commit(ctx context.Context, upTo map[int]int64) error {
	d := b.d
	defer b.end()
	if err := d.s.reach(ctx, "commit"); err != nil {
		return err
	}
	on := b.standsOn()
	for _, e := range b.changes.Entries {
		if strings.HasPrefix(d.record(e).ID, "refused") && e.Leg == 0 && e.Reason != string(ledger.Skipped) {
			return errInput
		}
		if e.Wanted > 0 && on[e.Subject].balance+e.Balance >= e.Wanted { // paid in meanwhile
			return errOvertaken
		}
	}
	b.write(upTo)
	return d.s.reach(ctx, "committed")
}

func (d *simulated) record(e ledger.Entry) event.Record { return d.records[e.Partition][e.Position-1] }

func (b *batchInMemory) write(upTo map[int]int64) {
	d := b.d
	if b.operator {
		p := b.records[0].Partition
		d.parked[p] = slices.DeleteFunc(d.parked[p], func(r event.Record) bool {
			return r.Subject == b.records[0].Subject && r.Position <= upTo[p]
		})
	} else {
		for p, to := range upTo {
			if d.cursors[p] != b.cursors[p] || to <= b.cursors[p] {
				d.fail("partition %d: a batch after %d moves the cursor from %d to %d", p, b.cursors[p], d.cursors[p], to)
			}
			d.cursors[p] = to
		}
		for _, r := range b.setAside {
			d.parked[r.Partition] = append(d.parked[r.Partition], r)
		}
	}
	for _, a := range b.changes.Registered {
		if _, there := d.accounts[a.Npub]; there {
			d.fail("%s is registered twice", a.Npub)
		}
		d.accounts[a.Npub] = ledger.Account{ID: int64(len(d.accounts) + 1), Npub: a.Npub, Handle: a.Handle, Balance: a.Balance, EntryCount: a.EntryCount}
	}
	on := b.standsOn()
	for _, a := range b.changes.Moved {
		now := d.accounts[a.Npub]
		now.Balance, now.EntryCount = a.Balance+on[a.Npub].balance, a.EntryCount+on[a.Npub].entries
		d.accounts[a.Npub] = now
	}
	for _, e := range b.changes.Entries {
		e.Balance += on[e.Subject].balance
		e.Seq += on[e.Subject].entries
		e.Wanted = 0 // which is not stored
		d.entries = append(d.entries, e)
	}
	b.refer()
}

// standsOn is what others have added to the wallets of the batch since they were loaded.
func (b *batchInMemory) standsOn() map[string]purse {
	on := map[string]purse{}
	for _, a := range b.changes.Moved {
		balance, entries := a.Base()
		now := b.d.accounts[a.Npub]
		on[a.Npub] = purse{now.Balance - balance, now.EntryCount - entries}
	}
	return on
}

// refer does the batch's events once more, one after the other, by the catalogue's plain words, on what is there now, and
// compares.
func (b *batchInMemory) refer() {
	d := b.d
	entries := d.entries[len(d.entries)-len(b.changes.Entries):]
	for len(entries) > 0 {
		e := entries[0]
		entries = entries[1:]
		r := d.record(e)
		what, amount, fee, payee := b.decide(r, e)
		move := func(npub string, by int64) (purse, bool) {
			there, known := d.purses[npub]
			if known {
				d.purses[npub] = purse{there.balance + by, there.entries + 1}
			}
			return d.purses[npub], known
		}
		want := ledger.Entry{Partition: r.Partition, Position: r.Position, Subject: r.Subject, Type: r.Type, Outcome: ledger.Applied, Amount: amount, Fee: fee, At: r.Time}
		if what != "applied" {
			want.Outcome, want.Reason = ledger.Rejected, what
		}
		if p, known := move(r.Subject, amount-fee); known {
			want.Seq, want.Balance = p.entries, p.balance
		}
		if e != want {
			d.fail("the entry of %s is %+v, and by the reference %+v", r.ID, e, want)
		}
		if payee == "" {
			continue
		}
		p, _ := move(payee, -amount)
		want.Leg, want.Subject, want.Amount, want.Fee, want.Seq, want.Balance = 1, payee, -amount, 0, p.entries, p.balance
		if len(entries) == 0 || entries[0] != want {
			d.fail("the payee's entry of %s is not %+v: %+v", r.ID, want, entries)
			return
		}
		entries = entries[1:]
	}
}

// decide is the reference's reading of the catalogue.
func (b *batchInMemory) decide(r event.Record, e ledger.Entry) (what string, amount, fee int64, payee string) {
	d := b.d
	if e.Reason == string(ledger.Skipped) && b.operator {
		return e.Reason, 0, 0, ""
	}
	p, err := event.DecodePayload(r.Type, r.Data)
	if err != nil {
		d.fail("%s, which cannot be read, has an entry", r.ID)
		return "", 0, 0, ""
	}
	me, known := d.purses[r.Subject]
	if _, is := p.(event.WalletRegistered); is {
		if known {
			return "npub_taken", 0, 0, ""
		}
		d.purses[r.Subject] = purse{}
		return "applied", 0, 0, ""
	}
	if !known {
		return "unknown_wallet", 0, 0, ""
	}
	switch p := p.(type) {
	case event.FundsCredited:
		return "applied", p.Amount, 0, ""
	case event.FundsDebited:
		if p.Amount+p.Fee > me.balance {
			return "insufficient_funds", 0, 0, ""
		}
		return "applied", -p.Amount, p.Fee, ""
	case event.FundsTransferred:
		_, there := d.purses[p.To]
		switch {
		case !there || e.Reason == "unknown_payee" && !b.knew[p.To]: // it may have been registered since the batch was loaded
			for _, o := range d.records[event.Partition(p.To)] {
				if o.Type == event.TypeWalletRegistered && o.Subject == p.To && o.RecordedAt.Before(r.RecordedAt) && !d.isParked(o) && !strings.HasPrefix(o.ID, "refused") {
					d.fail("%s was told of an unknown payee, whose registration stands before it", r.ID)
				}
			}
			return "unknown_payee", 0, 0, ""
		case p.Amount+p.Fee > me.balance:
			return "insufficient_funds", 0, 0, ""
		case p.To == r.Subject:
			return "self_transfer", 0, 0, ""
		}
		return "applied", -p.Amount, p.Fee, p.To
	}
	d.fail("no rule for %s", r.Type)
	return "", 0, 0, ""
}

func (d *simulated) isParked(r event.Record) bool {
	return slices.ContainsFunc(d.parked[r.Partition], func(o event.Record) bool { return o.Position == r.Position })
}

// settled checks what is left at the end: every event ended once or is parked, and those that are parked had to be.
func (d *simulated) settled() {
	ends := map[[2]int64]int{}
	for _, e := range d.entries {
		if e.Leg == 0 {
			ends[[2]int64{int64(e.Partition), e.Position}]++
		}
	}
	last := map[string]int64{} // the last position of a subject that ended
	for _, e := range d.entries {
		if e.Leg == 0 && e.Position <= last[e.Subject] {
			d.fail("%s was processed at %d after %d", e.Subject, e.Position, last[e.Subject])
		}
		if e.Leg == 0 {
			last[e.Subject] = e.Position
		}
	}
	for p, records := range d.records {
		stopped := map[string]bool{}
		for _, r := range records {
			n := ends[[2]int64{int64(p), r.Position}]
			parked := d.isParked(r)
			bad := strings.HasPrefix(r.ID, "refused") || strings.HasPrefix(r.ID, "panics") || strings.HasPrefix(r.ID, "unreadable")
			stopped[r.Subject] = stopped[r.Subject] || bad && !d.s.skipped[r.ID]
			switch {
			case parked && !stopped[r.Subject]:
				d.fail("%s is parked, and nothing is wrong with it", r.ID)
			case stopped[r.Subject] && !parked:
				d.fail("%s is not parked", r.ID)
			case parked && n != 0 || !parked && n != 1:
				d.fail("%s ended %d times, parked: %v", r.ID, n, parked)
			}
		}
	}
	for npub, a := range d.accounts {
		if p := d.purses[npub]; p.balance != a.Balance || p.entries != a.EntryCount {
			d.fail("%s has %d sats after %d entries, by the reference %+v", npub, a.Balance, a.EntryCount, p)
		}
	}
	if len(d.accounts) != len(d.purses) {
		d.fail("there are %d wallets, by the reference %d", len(d.accounts), len(d.purses))
	}
}

// noon is when the first event of a simulation was recorded.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
