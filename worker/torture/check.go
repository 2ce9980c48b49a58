package torture

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind names what was broken.
type Kind string

// The kinds of violations; doc.go says what each stands for.
const (
	Lost         Kind = "lost"
	Doubled      Kind = "doubled"
	OutOfOrder   Kind = "out of order"
	WrongAnswer  Kind = "wrong answer"
	Stranger     Kind = "stranger"
	Parked       Kind = "parked"
	Money        Kind = "money"
	WrongOutcome Kind = "wrong outcome"
	Stale        Kind = "stale read"
	Deadlock     Kind = "deadlock" // which no check finds, but the server tells
)

// Violation is one promise that was not kept.
type Violation struct {
	Kind   Kind
	Detail string
}

func (v Violation) String() string { return string(v.Kind) + ": " + v.Detail }

// Report is what Check found.
type Report struct {
	Events       int            // in the log
	Acknowledged int            // that clients were told of
	Answers      map[string]int // by result
	Outcomes     map[string]int // of events: applied, or the reason of the rejection
	Reads        int
	Violations   []Violation
}

// Count is the number of violations of a kind.
func (r *Report) Count(k Kind) (n int) {
	for _, v := range r.Violations {
		if v.Kind == k {
			n++
		}
	}
	return n
}

// Summary lists the violations, at most some of each kind.
func (r *Report) Summary() string {
	const most = 5
	var b strings.Builder
	seen := map[Kind]int{}
	for _, v := range r.Violations {
		if seen[v.Kind]++; seen[v.Kind] <= most {
			fmt.Fprintln(&b, v)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(seen)) {
		fmt.Fprintf(&b, "%d × %s\n", seen[k], k)
	}
	return b.String()
}

// identity is what an event is known by for ever.
type identity struct{ source, id string }

// sending is what the clients know of one event that may be in the log.
type sending struct {
	event        Event
	client       string
	order        int   // among what its client sent
	began        int64 // it was first sent
	times        int   // that it was sent
	acknowledged int64 // its first answer; 0: none came
}

// checker holds what the checks share.
type checker struct {
	report  Report
	books   *Books
	sent    map[identity]*sending
	rows    map[identity][]Row
	at      map[Place]Row
	entries map[Place][]Entry  // of an event, by leg
	chains  map[string][]Entry // of a wallet, by seq
}

// Check holds the books against what the clients wrote down.
func Check(histories []History, books *Books) Report {
	c := newChecker(books)
	for _, h := range histories {
		c.answers(h)
	}
	c.log()
	c.order()
	c.processed()
	c.money()
	c.outcomes()
	c.circles()
	for _, h := range histories {
		c.reads(h)
	}
	c.overtaken(histories)
	return c.report
}

func newChecker(books *Books) *checker {
	c := &checker{
		books: books, sent: map[identity]*sending{}, rows: map[identity][]Row{}, at: map[Place]Row{},
		entries: map[Place][]Entry{}, chains: map[string][]Entry{},
		report: Report{Events: len(books.Log), Answers: map[string]int{}, Outcomes: map[string]int{}},
	}
	for _, r := range books.Log {
		k := identity{r.Source, r.ID}
		c.rows[k] = append(c.rows[k], r)
		c.at[r.Place] = r
	}
	for _, e := range books.Entries {
		c.entries[e.Place] = append(c.entries[e.Place], e)
		if e.Seq > 0 {
			c.chains[e.Subject] = append(c.chains[e.Subject], e)
		}
	}
	for _, chain := range c.chains {
		slices.SortStableFunc(chain, func(a, b Entry) int { return int(a.Seq - b.Seq) })
	}
	return c
}

func (c *checker) broken(k Kind, format string, args ...any) {
	c.report.Violations = append(c.report.Violations, Violation{k, fmt.Sprintf(format, args...)})
}

// answers holds what a client was told against what it had sent and what the log has.
func (c *checker) answers(h History) {
	pending := map[identity]*Event{} // the last that was sent under an identity
	order := 0
	for _, l := range h.Lines {
		switch l.Op {
		case Sent:
			k := identity{l.Event.Source, l.Event.ID}
			pending[k] = l.Event
			if l.Event.Meant == Fresh && c.sent[k] == nil {
				order++
				c.sent[k] = &sending{event: *l.Event, client: h.Client, order: order, began: l.At}
			}
			if s := c.sent[k]; s != nil && (l.Event.Meant == Fresh || l.Event.Meant == Repeat) {
				s.times++
			}
		case Answered:
			k := identity{l.Source, l.ID}
			c.report.Answers[l.Result]++
			if e := pending[k]; e == nil {
				c.broken(WrongAnswer, "%s was answered about %s %s, which it never sent", h.Client, l.Source, l.ID)
			} else {
				c.answer(h.Client, l, *e)
			}
		}
	}
}

func (c *checker) answer(client string, l Line, e Event) {
	k := identity{l.Source, l.ID}
	s, rows := c.sent[k], c.rows[k]
	switch l.Result {
	case ResultAppended, ResultDuplicate, ResultTaken:
		if e.Meant == Bad || e.Meant == Conflict || s == nil {
			c.broken(WrongAnswer, "%s sent %s %s, which is %s, and was told %s", client, l.Source, l.ID, e.Meant, l.Result)
			return
		}
		if l.Result == ResultAppended && s.acknowledged != 0 {
			c.broken(Doubled, "%s %s was acknowledged before, and then appended once more", l.Source, l.ID)
		}
		if l.Result == ResultDuplicate && s.times < 2 {
			c.broken(WrongAnswer, "%s %s was sent once, and called a duplicate", l.Source, l.ID)
		}
		if s.acknowledged == 0 {
			s.acknowledged = l.At
			c.report.Acknowledged++
		}
		switch {
		case len(rows) == 0:
			c.broken(Lost, "%s was told that %s %s is in the log (%s), and it is not", client, l.Source, l.ID, l.Result)
		case l.Position != 0 && rows[0].Place != (Place{l.Partition, l.Position}):
			c.broken(WrongAnswer, "%s was told that %s %s stands at %d/%d, and it stands at %d/%d",
				client, l.Source, l.ID, l.Partition, l.Position, rows[0].Partition, rows[0].Position)
		}
	case ResultConflict:
		if e.Meant != Conflict {
			c.broken(WrongAnswer, "%s was told that %s %s is in conflict, and it sent nothing else under that identity", client, l.Source, l.ID)
		}
	case ResultRefused:
		if e.Meant != Bad || l.Field != badField {
			c.broken(WrongAnswer, "%s was refused %s %s (%s) for its field %q", client, l.Source, l.ID, e.Type, l.Field)
		}
	default:
		c.broken(WrongAnswer, "%s was told %q of %s %s", client, l.Result, l.Source, l.ID)
	}
}

// log holds the log against what was sent.
func (c *checker) log() {
	var last Place
	for _, r := range c.books.Log {
		if r.Partition != last.Partition {
			last = Place{Partition: r.Partition}
		}
		if r.Position != last.Position+1 {
			c.broken(Lost, "partition %d goes from position %d to %d", r.Partition, last.Position, r.Position)
		}
		last = r.Place
		if r.Partition != partitionOf(r.Subject) {
			c.broken(OutOfOrder, "%s %s of %s stands in partition %d instead of %d", r.Source, r.ID, r.Subject, r.Partition, partitionOf(r.Subject))
		}
		s := c.sent[identity{r.Source, r.ID}]
		switch {
		case s == nil:
			c.broken(Stranger, "%s %s (%s) is in the log, and nobody sent it to be there", r.Source, r.ID, r.Type)
		case fullType(s.event.Type) != r.Type || s.event.Subject != r.Subject || !sameJSON(s.event.Data, r.Data):
			c.broken(Stranger, "%s %s is in the log with other content than was sent: %s %s %s", r.Source, r.ID, r.Type, r.Subject, r.Data)
		}
	}
	for k, rows := range c.rows {
		if len(rows) > 1 {
			c.broken(Doubled, "%s %s is in the log %d times", k.source, k.id, len(rows))
		}
	}
}

// order holds the log against the order in which each client sent.
func (c *checker) order() {
	type stream struct{ client, subject string }
	last := map[stream]int{}
	for _, r := range c.books.Log { // by partition and position, and a subject is in one partition
		s := c.sent[identity{r.Source, r.ID}]
		if s == nil {
			continue
		}
		k := stream{s.client, r.Subject}
		if s.order < last[k] {
			c.broken(OutOfOrder, "%s %s of %s stands at %d/%d, behind what %s sent later", r.Source, r.ID, r.Subject, r.Partition, r.Position, s.client)
		}
		last[k] = max(last[k], s.order)
	}
}

// processed holds the journal against the log.
func (c *checker) processed() {
	parked := map[Place]bool{}
	for _, p := range c.books.Parked {
		parked[p] = true
		c.broken(Parked, "%s of %s at %d/%d is parked", c.at[p].ID, c.at[p].Subject, p.Partition, p.Position)
	}
	for _, r := range c.books.Log {
		var legs [2]int
		for _, e := range c.entries[r.Place] {
			if e.Leg < 0 || e.Leg > 1 {
				c.broken(Stranger, "the entry at %d/%d has leg %d", e.Partition, e.Position, e.Leg)
				continue
			}
			legs[e.Leg]++
			if e.Leg == 0 && (e.Subject != r.Subject || e.Type != r.Type) {
				c.broken(Stranger, "the entry at %d/%d is of %s %s, the event of %s %s", e.Partition, e.Position, e.Type, e.Subject, r.Type, r.Subject)
			}
		}
		switch {
		case legs[0] == 0 && !parked[r.Place] && r.Position <= c.books.Cursors[r.Partition]:
			c.broken(Lost, "%s of %s at %d/%d was passed over: the cursor is at %d, and there is no entry",
				r.ID, r.Subject, r.Partition, r.Position, c.books.Cursors[r.Partition])
		case legs[0] == 0 && !parked[r.Place]:
			c.broken(Lost, "%s of %s at %d/%d was never processed", r.ID, r.Subject, r.Partition, r.Position)
		case legs[0] > 1 || legs[1] > 1:
			c.broken(Doubled, "%s of %s at %d/%d was applied more than once", r.ID, r.Subject, r.Partition, r.Position)
		}
	}
	for _, e := range c.books.Entries {
		if _, there := c.at[e.Place]; !there {
			c.broken(Stranger, "there is an entry of %s at %d/%d, and no such event", e.Subject, e.Partition, e.Position)
		}
	}
}

// money adds up.
func (c *checker) money() {
	var balances, amounts int64
	for _, a := range c.books.Accounts {
		balances += a.Balance - a.Opening
		chain := c.chains[a.Npub]
		balance := a.Opening
		var own Place // the last event of the wallet itself
		for i, e := range chain {
			if e.Seq != int64(i+1) {
				c.broken(Money, "%s has the entry %d where %d belongs", a.Npub, e.Seq, i+1)
				break
			}
			balance += e.Amount - e.Fee
			amounts += e.Amount - e.Fee
			if e.Balance != balance || balance < 0 || e.Fee < 0 {
				c.broken(Money, "%s has %d sats after entry %d (%+d, fee %d), and should have %d", a.Npub, e.Balance, e.Seq, e.Amount, e.Fee, balance)
				balance = e.Balance
			}
			if e.Leg == 0 {
				if e.Position <= own.Position {
					c.broken(OutOfOrder, "%s processed its event at %d/%d after that at %d", a.Npub, e.Partition, e.Position, own.Position)
				}
				own = e.Place
			}
		}
		if a.Balance != balance || a.Entries != int64(len(chain)) {
			c.broken(Money, "%s has %d sats after %d entries, by its journal %d after %d", a.Npub, a.Balance, a.Entries, balance, len(chain))
		}
	}
	var made int64 // by the events themselves
	for _, e := range c.books.Entries {
		if e.Leg == 0 && e.Outcome == "applied" {
			made += c.made(e)
		}
	}
	if balances != made || amounts != made {
		c.broken(Money, "the wallets have %d sats, the journal %d, and what was applied makes %d", balances, amounts, made)
	}
}
