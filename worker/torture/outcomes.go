package torture

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

const applied = "applied"

// made is how many sats an applied event brings into the wallets or takes out of them.
func (c *checker) made(e Entry) int64 {
	d := contentOf(c.at[e.Place].Data)
	switch e.Type {
	case fullType(credited):
		return d.Amount
	case fullType(debited):
		return -d.cost()
	case fullType(transferred):
		return -d.Fee
	case fullType(quotePaid):
		for _, q := range c.books.Quotes {
			if q.Quote == d.Quote && q.Npub == e.Subject {
				return q.Amount
			}
		}
	}
	return 0
}

// world is what the catalogue's rules ask about, at one place of one partition.
type world struct {
	wallets map[string]bool  // registered in this partition so far
	quotes  map[string]Quote // of this partition's wallets
}

// outcomes holds every entry against the catalogue. Wallets live in the partition of their subject, and so does everything that
// decides about their events but what others paid in, which the journal's numbers tell, and whether a payee is there.
func (c *checker) outcomes() {
	owners := map[string]string{} // of handles
	everRegistered := map[string]bool{}
	for _, e := range c.books.Entries {
		if e.Leg != 0 || e.Type != fullType(registered) || e.Outcome != applied {
			continue
		}
		handle := contentOf(c.at[e.Place].Data).Handle
		if owner, taken := owners[handle]; taken {
			c.broken(WrongOutcome, "the handle %s was given to %s and to %s", handle, owner, e.Subject)
		}
		owners[handle], everRegistered[e.Subject] = e.Subject, true
	}
	for _, a := range c.books.Accounts {
		if !everRegistered[a.Npub] {
			c.broken(Stranger, "the wallet %s is there, and no registration of it was applied", a.Npub)
		}
	}
	if len(everRegistered) != len(c.books.Accounts) {
		c.broken(Lost, "%d registrations were applied, and there are %d wallets", len(everRegistered), len(c.books.Accounts))
	}
	w := world{map[string]bool{}, map[string]Quote{}}
	for _, r := range c.books.Log { // by partition and position: nothing of w is shared between partitions
		legs := c.entries[r.Place]
		i := slices.IndexFunc(legs, func(e Entry) bool { return e.Leg == 0 })
		if i < 0 {
			continue // it was found to be lost or parked before
		}
		e := legs[i]
		c.report.Outcomes[outcomeOf(e)]++
		if wrong := c.judge(&w, r, e, legs, owners, everRegistered); wrong != "" {
			c.broken(WrongOutcome, "%s of %s at %d/%d (%s) was %s: %s", r.ID, r.Subject, r.Partition, r.Position, r.Type, outcomeOf(e), wrong)
		}
	}
	for _, q := range c.books.Quotes {
		want, there := w.quotes[q.Quote]
		delete(w.quotes, q.Quote)
		if !there || want != q {
			c.broken(WrongOutcome, "the quote %s of %s over %d is there, paid %v, and should be %+v", q.Quote, q.Npub, q.Amount, q.Paid, want)
		}
	}
	for _, q := range slices.Sorted(maps.Keys(w.quotes)) {
		c.broken(Lost, "the quote %s was applied, and is not there", q)
	}
}

func outcomeOf(e Entry) string {
	if e.Outcome == applied && e.Reason == "" {
		return applied
	}
	if e.Outcome == "rejected" && e.Reason != "" {
		return e.Reason
	}
	return e.Outcome + " (" + e.Reason + ")"
}

// judge says what is wrong with an event's outcome, or "".
func (c *checker) judge(w *world, r Row, e Entry, legs []Entry, owners map[string]string, everRegistered map[string]bool) string {
	d, got := contentOf(r.Data), outcomeOf(e)
	known := w.wallets[r.Subject]
	if wallet := known || r.Type == fullType(registered) && got == applied; wallet != (e.Seq > 0) {
		return fmt.Sprintf("its entry has the number %d", e.Seq)
	}
	if got != applied && (e.Amount != 0 || e.Fee != 0) {
		return fmt.Sprintf("it moved %+d sats, fee %d", e.Amount, e.Fee)
	}
	if second := len(legs) > 1; second != (r.Type == fullType(transferred) && got == applied) {
		return fmt.Sprintf("it has %d entries", len(legs))
	}
	is := func(want ...string) string {
		if slices.Contains(want, got) {
			return ""
		}
		return "it should be " + strconv.Quote(want[0])
	}
	if r.Type == fullType(registered) {
		switch {
		case known:
			return is("npub_taken")
		case owners[d.Handle] == r.Subject && got == applied:
			w.wallets[r.Subject] = true
			return ""
		case owners[d.Handle] != "" && owners[d.Handle] != r.Subject:
			return is("handle_taken")
		}
		return is(applied)
	}
	if !known {
		return is("unknown_wallet")
	}
	var amount, fee int64
	var wrong string
	switch r.Type {
	case fullType(credited):
		if amount = d.Amount; d.Amount > maxAmount-c.before(e) {
			amount, wrong = 0, is("balance_overflow")
		} else {
			wrong = is(applied)
		}
	case fullType(debited):
		if amount, fee = -d.Amount, d.Fee; d.cost() > c.before(e) {
			wrong = is("insufficient_funds")
		} else {
			wrong = is(applied)
		}
	case fullType(transferred):
		amount, fee = -d.Amount, d.Fee
		wrong = c.judgeTransfer(r, e, legs, d, everRegistered)
	case fullType(quoteMade):
		if _, there := w.quotes[d.Quote]; there {
			wrong = is("quote_taken")
		} else if wrong = is(applied); wrong == "" {
			w.quotes[d.Quote] = Quote{Quote: d.Quote, Npub: r.Subject, Amount: d.Amount}
		}
	case fullType(quotePaid):
		q, there := w.quotes[d.Quote]
		switch {
		case !there || q.Npub != r.Subject:
			wrong = is("unknown_quote")
		case q.Paid:
			wrong = is("quote_paid")
		default:
			amount, q.Paid = q.Amount, true
			if wrong = is(applied); wrong == "" {
				w.quotes[d.Quote] = q
			}
		}
	default:
		return "no client sends such an event"
	}
	if wrong == "" && got == applied && (e.Amount != amount || e.Fee != fee) {
		wrong = fmt.Sprintf("it moved %+d sats, fee %d, instead of %+d, fee %d", e.Amount, e.Fee, amount, fee)
	}
	return wrong
}

func (c *checker) judgeTransfer(r Row, e Entry, legs []Entry, d content, everRegistered map[string]bool) string {
	got := outcomeOf(e)
	if got == "unknown_payee" {
		if c.knewPayee(r, d.To) {
			return "the registration of the payee " + d.To + " was acknowledged before the transfer was sent"
		}
		return ""
	}
	if !everRegistered[d.To] {
		return "there never was a wallet " + d.To
	}
	covered := d.cost() <= c.before(e)
	switch {
	case covered != (got != "insufficient_funds"):
		return fmt.Sprintf("it takes %d, and %d were there", d.cost(), c.before(e))
	case !covered:
		return ""
	case d.To == r.Subject:
		if got != "self_transfer" {
			return "it goes to its own wallet"
		}
		return ""
	case got != applied:
		return "nothing stood against it"
	}
	i := slices.IndexFunc(legs, func(l Entry) bool { return l.Leg == 1 })
	if i < 0 || legs[i].Subject != d.To || legs[i].Amount != d.Amount || legs[i].Fee != 0 || legs[i].Seq == 0 {
		return fmt.Sprintf("the payee's entry is not right: %+v", legs)
	}
	return ""
}

// knewPayee tells whether a registration of the payee that was applied had been acknowledged before the transfer was sent, or
// stands before it in the same partition.
func (c *checker) knewPayee(r Row, payee string) bool {
	transfer := c.sent[identity{r.Source, r.ID}]
	for _, e := range c.chains[payee] {
		if e.Type != fullType(registered) || e.Outcome != applied {
			continue
		}
		row := c.at[e.Place]
		registration := c.sent[identity{row.Source, row.ID}]
		before := transfer != nil && registration != nil && registration.acknowledged != 0 && registration.acknowledged < transfer.began
		return before || e.Partition == r.Partition && e.Position < r.Position
	}
	return false
}

// before is what the wallet had before an entry.
func (c *checker) before(e Entry) int64 {
	return e.Balance - e.Amount + e.Fee
}
