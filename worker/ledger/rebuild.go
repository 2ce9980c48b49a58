package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/safebox/safebox/worker/event"
)

// Rebuilt is what a rebuild did.
type Rebuilt struct {
	Events  int64 `json:"events"`  // folded again
	Wallets int64 `json:"wallets"` // at the end
	Adopted int64 `json:"adopted"` // of them, those whose beginning no event tells
	// Unproved are the rejections whose cause only adopted rows can have been, in the state that they had then.
	Unproved int64 `json:"unproved"`
	// Aside is the most events that had to be kept in memory, because they were processed out of the log's order.
	Aside int `json:"aside"`
}

// rebuildPage is how many events of a partition a rebuild reads at once; it holds that many of each partition.
const rebuildPage = 200

// Rebuild folds the log again, from nothing, and compares what comes of it with the books: the outcome and the entries of
// every event, and at the end the wallets, the quotes and the other records. It adds its findings to the audit.
//
// The order of the fold is the one that the journal tells. The events of a subject come in the order of the log, and an
// event comes when each wallet that it touches has as many entries as its entry's number says. That is one of the orders in
// which the lanes can have processed them, and what they applied comes to the same in each of those.
//
// What was rejected is decided again on the state of that order, too. Where this says otherwise, the rejection stands if it
// could have come from what a lane saw: a lane looks at other wallets before it locks its own, so that a payee may have been
// registered or have spent what it had, or a value have changed hands, between its look and its commit. See unproved.
//
// Wallets that were there before the events begin with their opening balance and the values that they have now.
// progress is told how many events are folded.
//
// Memory: the wallets with their values, the quotes, and the ids of nonces, offers and Nostr events; 64 pages of the log; and
// events that were processed much later than their neighbours, as parked ones are. It does not grow with the events else.
func (a *Audit) Rebuild(ctx context.Context, books Books, progress func(events int64)) error {
	r := &rebuild{
		ctx: ctx, books: books, audit: a, shadow: newShadow(), report: &Rebuilt{}, progress: progress,
		aside: map[string][]Line{}, blocked: map[string][]string{}, resolved: map[string]bool{}, lost: map[string]bool{},
	}
	a.Rebuilt = r.report
	for _, step := range []func() error{r.begin, r.fold, r.settleClaims, r.compareWallets, r.compareQuotes, r.compareRecords, r.compareRates} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// rebuild is a rebuild at work.
type rebuild struct {
	ctx      context.Context //nolint:containedctx // it lives for one call of Rebuild
	books    Books
	audit    *Audit
	shadow   *shadow
	report   *Rebuilt
	progress func(int64)

	feeds    [event.Partitions]feed
	aside    map[string][]Line   // by subject: events that came up before their turn, and what came after them
	asides   int                 // how many those are
	blocked  map[string][]string // wallet → the subjects in aside whose first event waits for it
	resolved map[string]bool     // subjects whose parked events an operator saw to
	lost     map[string]bool     // columns of which an adopted wallet had a value that no event tells
	claims   []claim
}

// feed reads a partition.
type feed struct {
	lines []Line
	after int64
	ended bool
}

func (r *rebuild) find(l Line, check, format string, args ...any) {
	r.audit.Find(Finding{check, l.Subject, l.place() + ": " + fmt.Sprintf(format, args...)})
}

// begin takes on what was there before the events.
func (r *rebuild) begin() error {
	for after := ""; ; {
		page, err := r.books.Wallets(r.ctx, after, keysPage, true)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, a := range page {
			r.shadow.adopt(a)
			r.report.Adopted++
		}
		after = page[len(page)-1].Npub
	}
	rates, err := r.books.Rates(r.ctx)
	if err != nil {
		return err
	}
	for _, rate := range rates {
		r.shadow.rates[rate.Code] = &Rate{Code: rate.Code} // when it was seeded, no event tells
	}
	subjects, err := r.books.Resolved(r.ctx)
	for _, s := range subjects {
		r.resolved[s] = true
	}
	return err
}

// fold goes through the log in the order of the journal.
func (r *rebuild) fold() error {
	for {
		progress := false
		for p := range r.feeds {
			moved, err := r.follow(p)
			if err != nil {
				return err
			}
			progress = progress || moved
		}
		if progress {
			continue
		}
		if !r.setAside() && !r.force() {
			return nil
		}
	}
}

// follow folds a partition up to an event whose turn it is not.
func (r *rebuild) follow(p int) (moved bool, err error) {
	for {
		l, err := r.head(p)
		if l == nil || err != nil {
			return moved, err
		}
		if len(l.Entries) == 0 || l.Entries[0].Leg != 0 { // pending or parked; or lost, which the audit has found
			r.pop(p)
			continue
		}
		if len(r.aside[l.Subject]) > 0 {
			r.putAside(*l)
		} else if r.waitsFor(*l) == "" {
			r.foldLine(*l)
		} else {
			return moved, nil
		}
		r.pop(p)
		moved = true
	}
}

// head is the next event of a partition; nil at its end.
func (r *rebuild) head(p int) (*Line, error) {
	f := &r.feeds[p]
	if len(f.lines) == 0 && !f.ended {
		lines, err := r.books.Lines(r.ctx, p, f.after, rebuildPage)
		if err != nil {
			return nil, err
		}
		if err := r.loadQuotes(lines); err != nil {
			return nil, err
		}
		f.lines, f.ended = lines, len(lines) == 0
		r.progress(r.report.Events)
	}
	if len(f.lines) == 0 {
		return nil, nil
	}
	return &f.lines[0], nil
}

func (r *rebuild) pop(p int) {
	f := &r.feeds[p]
	f.after = f.lines[0].Position
	f.lines = f.lines[1:]
}

// loadQuotes takes on the quotes from before the events that the lines name. It fails at an event that is sealed with a key
// that is not at hand.
func (r *rebuild) loadQuotes(lines []Line) error {
	var k Keys
	for _, l := range lines {
		if l.missesKey() {
			return fmt.Errorf("the log cannot be folded again: %s: %w", l.place(), l.Sealed)
		}
		p, err := l.decode()
		if err != nil {
			continue
		}
		var quote string
		switch p := p.(type) {
		case event.QuoteCreated:
			quote = p.Quote
		case event.QuotePaid:
			quote = p.Quote
		default:
			continue
		}
		if _, known := r.shadow.quotes[quote]; !known {
			k.Quotes = append(k.Quotes, quote)
		}
	}
	if len(k.Quotes) == 0 {
		return nil
	}
	stored, err := r.books.Stored(r.ctx, k)
	if err != nil {
		return err
	}
	for quote, rows := range stored.quotes {
		if _, known := r.shadow.quotes[quote]; known {
			continue
		}
		for _, q := range rows {
			if q.Npub == "" {
				r.shadow.addQuote(*q)
			}
		}
	}
	return nil
}

// waitsFor names a wallet that does not have as many entries yet as an entry of the line says; "" if there is none.
func (r *rebuild) waitsFor(l Line) string {
	for _, e := range l.Entries {
		if e.Seq > 0 && r.shadow.count(e.Subject) != e.Seq-1 {
			return e.Subject
		}
	}
	return ""
}

// setAside takes the event that was recorded first among those where the partitions stand, so that what is behind it can
// go on. False: no partition has any.
func (r *rebuild) setAside() bool {
	first := -1
	for p := range r.feeds {
		if f := &r.feeds[p]; len(f.lines) > 0 && (first < 0 || f.lines[0].RecordedAt.Before(r.feeds[first].lines[0].RecordedAt)) {
			first = p
		}
	}
	if first < 0 {
		return false
	}
	r.putAside(r.feeds[first].lines[0])
	r.pop(first)
	return true
}

func (r *rebuild) putAside(l Line) {
	r.aside[l.Subject] = append(r.aside[l.Subject], l)
	r.asides++
	r.report.Aside = max(r.report.Aside, r.asides)
	if len(r.aside[l.Subject]) == 1 {
		wallet := r.waitsFor(l)
		r.blocked[wallet] = append(r.blocked[wallet], l.Subject)
	}
}

// resume folds what was set aside and waited for these wallets, and what that lets go on.
func (r *rebuild) resume(wallets []string) {
	for len(wallets) > 0 {
		wallet := wallets[0]
		wallets = wallets[1:]
		subjects := r.blocked[wallet]
		delete(r.blocked, wallet)
		for _, subject := range subjects {
			wallets = append(wallets, r.advance(subject)...)
		}
	}
}

// advance folds what was set aside of a subject, as far as it can, and names the wallets that it touched.
func (r *rebuild) advance(subject string) (touched []string) {
	for {
		waiting := r.aside[subject]
		if len(waiting) == 0 {
			delete(r.aside, subject)
			return touched
		}
		if wallet := r.waitsFor(waiting[0]); wallet != "" {
			r.blocked[wallet] = append(r.blocked[wallet], subject)
			return touched
		}
		r.aside[subject] = waiting[1:]
		r.asides--
		touched = append(touched, r.again(waiting[0])...)
	}
}

// force folds the first of the events whose turn never comes, where its entries say that it was. False: there are none.
func (r *rebuild) force() bool {
	var first *Line
	for _, waiting := range r.aside {
		if l := &waiting[0]; first == nil || cmp.Or(l.RecordedAt.Compare(first.RecordedAt), cmp.Compare(l.Subject, first.Subject)) < 0 {
			first = l
		}
	}
	if first == nil {
		return false
	}
	wallet := r.waitsFor(*first)
	r.find(*first, "rebuilt_order", "the entry of %s does not follow from the %d before it", wallet, r.shadow.count(wallet))
	for _, e := range first.Entries {
		if a := r.shadow.accounts[e.Subject]; a != nil && e.Seq > 0 {
			a.EntryCount = e.Seq - 1
		}
	}
	l := *first
	if r.aside[l.Subject] = r.aside[l.Subject][1:]; len(r.aside[l.Subject]) == 0 {
		delete(r.aside, l.Subject)
	}
	r.asides--
	for wallet, subjects := range r.blocked { // it waits no more
		r.blocked[wallet] = slices.DeleteFunc(subjects, func(s string) bool { return s == l.Subject })
	}
	touched := r.again(l)
	r.resume(append(touched, r.advance(l.Subject)...))
	return true
}

// foldLine folds the line and whatever waited for it.
func (r *rebuild) foldLine(l Line) {
	touched := r.again(l)
	if r.asides > 0 {
		r.resume(touched)
	}
}

// again folds the event of a line once more and compares; it names the wallets that have entries of it.
func (r *rebuild) again(l Line) (touched []string) {
	r.report.Events++
	recorded := l.Entries[0]
	for _, e := range l.Entries {
		touched = append(touched, e.Subject)
	}
	c := Command{Record: l.Record}
	payload, err := l.decode()
	switch {
	case err == nil:
		c.Payload = payload
	case recorded.Reason != string(Skipped):
		r.find(l, "rebuilt_outcome", "it was %s, and cannot be decoded: %v", recorded.Outcome, err)
		r.accept(l)
		return touched
	}
	if q, ok := payload.(event.QuotePaid); ok && recorded.Outcome == Applied {
		r.shadow.expectPayment(q.Quote, recorded.Amount)
	}
	was := Outcome{recorded.Outcome, Reason(recorded.Reason)}
	state := r.load(c, recorded)
	if was.Reason == Skipped {
		state.Skip(c)
	} else if out, err := state.Fold(c); err != nil {
		r.find(l, "rebuilt_outcome", "it was %s, and would be parked: %v", was, err)
		r.accept(l)
		return touched
	} else if out != was {
		if was.Kind == Applied || !r.mayBe(c, recorded) {
			r.find(l, "rebuilt_outcome", "it was %s, and the log makes it %s", was, out)
			r.accept(l)
			return touched
		}
		state = r.load(c, recorded)
		state.journal(c, was, effect{})
	}
	if was.Kind == Applied {
		r.losses(c)
	}
	changes := state.Changes()
	r.shadow.store(changes, l.RecordedAt)
	r.compare(l, changes.Entries)
	return touched
}

// load gives the state that a command may touch. What was applied found the values that change hands free: the unique
// indexes saw to that, in an order that only they know.
func (r *rebuild) load(c Command, recorded Entry) *State {
	k := KeysOf([]Command{c})
	if a := r.shadow.accounts[c.Subject]; a != nil && recorded.Seq == 0 && (a.adopted || recorded.Reason == string(Skipped)) {
		// The wallet was not there yet, or was not looked for.
		k.Npubs = slices.DeleteFunc(k.Npubs, func(npub string) bool { return npub == c.Subject })
	}
	return r.shadow.load(k, recorded.Outcome == Rejected)
}

// accept goes on from what the entries of a line say.
func (r *rebuild) accept(l Line) {
	for _, e := range l.Entries {
		r.shadow.set(e)
	}
}

// compare holds the entries of a line against those of the fold.
func (r *rebuild) compare(l Line, made []Entry) {
	for i, e := range l.Entries {
		if i >= len(made) {
			r.find(l, "rebuilt_entry", "leg %d, for %s, does not come of the log", e.Leg, e.Subject)
			continue
		}
		m := made[i]
		if e.Subject != m.Subject || e.Seq != m.Seq || e.Amount != m.Amount || e.Fee != m.Fee || e.Balance != m.Balance || !e.At.Equal(m.At) {
			r.find(l, "rebuilt_entry", "leg %d is number %d of %s: %+d sats for a fee of %d, balance %d, at %s; the log makes it number %d of %s: %+d for %d, balance %d, at %s",
				e.Leg, e.Seq, e.Subject, e.Amount, e.Fee, e.Balance, e.At, m.Seq, m.Subject, m.Amount, m.Fee, m.Balance, m.At)
			r.shadow.set(e)
		}
	}
	for _, m := range made[min(len(made), len(l.Entries)):] {
		r.find(l, "rebuilt_entry", "leg %d, for %s, is missing", m.Leg, m.Subject)
	}
}

func (o Outcome) String() string {
	if o.Reason == "" {
		return string(o.Kind)
	}
	return fmt.Sprintf("%s for %q", o.Kind, o.Reason)
}
