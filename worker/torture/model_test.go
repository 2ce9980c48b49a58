package torture

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// model is a cluster that keeps every promise: one event after the other, on maps. It makes the histories and books that the
// checker must find nothing in, and that the tests then spoil.
type model struct {
	rng       *rand.Rand
	clock     int64
	books     Books
	log       [partitions][]Row
	known     map[string]Row // by source and id
	recorded  map[Place]int64
	accounts  map[string]*Account
	handles   map[string]bool
	quotes    map[string]*Quote
	histories []History
}

// newModel lets clients act for some batches each, while events are processed now and then.
func newModel(seed uint64, clients, batches int) *model {
	m := &model{
		rng: rand.New(rand.NewPCG(seed, 1)), known: map[string]Row{}, recorded: map[Place]int64{}, accounts: map[string]*Account{}, handles: map[string]bool{}, quotes: map[string]*Quote{},
	}
	scripts := make([]*Script, clients)
	for i := range scripts {
		scripts[i] = NewScript(seed, i, clients)
		m.histories = append(m.histories, History{Client: fmt.Sprint(i)})
	}
	for range batches * clients {
		i := m.rng.IntN(clients)
		m.send(&m.histories[i], scripts[i].Batch())
		m.process(m.rng.IntN(30))
		m.read(&m.histories[i], seed, clients)
	}
	m.process(1 << 30)
	for _, a := range m.accounts {
		m.books.Accounts = append(m.books.Accounts, *a)
	}
	for _, q := range m.quotes {
		m.books.Quotes = append(m.books.Quotes, *q)
	}
	slices.SortFunc(m.books.Entries, func(a, b Entry) int {
		return slices.Compare([]int64{int64(a.Partition), a.Position, int64(a.Leg)}, []int64{int64(b.Partition), b.Position, int64(b.Leg)})
	})
	for p := range m.log {
		m.books.Log = append(m.books.Log, m.log[p]...)
	}
	return m
}

func (m *model) tick() int64 {
	m.clock += 10
	return m.clock
}

func (m *model) send(h *History, events []Event) {
	lost := m.rng.IntN(5) == 0 // the answer of the first attempt
	for range 2 {
		at := m.tick()
		for i := range events {
			h.Lines = append(h.Lines, Line{Op: Sent, At: at, Event: &events[i]})
		}
		var answers []Line
		for _, e := range events {
			answers = append(answers, m.append(e))
		}
		if !lost {
			h.Lines = append(h.Lines, answers...)
			return
		}
		lost = false
	}
}

func (m *model) append(e Event) Line {
	l := Line{Op: Answered, Source: e.Source, ID: e.ID, At: m.tick()}
	row, there := m.known[e.Source+" "+e.ID]
	switch {
	case e.Meant == Bad:
		l.Result, l.Field = ResultRefused, badField
		return l
	case there && sameJSON(row.Data, e.Data):
		l.Result = ResultDuplicate
	case there:
		l.Result = ResultConflict
	default:
		p := partitionOf(e.Subject)
		row = Row{Place{p, int64(len(m.log[p]) + 1)}, e.Source, e.ID, fullType(e.Type), e.Subject, e.Data}
		m.log[p] = append(m.log[p], row)
		m.known[e.Source+" "+e.ID] = row
		m.recorded[row.Place] = l.At
		l.Result = ResultAppended
	}
	l.Partition, l.Position = row.Partition, row.Position
	return l
}

func (m *model) read(h *History, seed uint64, clients int) {
	l := Line{Op: Wallet, Began: m.tick(), Subject: npub(seed, m.rng.IntN(clients), 0)}
	if a := m.accounts[l.Subject]; a != nil {
		l.Entries, l.Balance = a.Entries, a.Balance
	}
	l.At = m.tick()
	p := partitionOf(l.Subject)
	h.Lines = append(h.Lines, l, Line{Op: Head, Began: m.tick(), At: m.tick(), Partition: p, Position: int64(len(m.log[p]))})
}

// process takes events from partitions at random, n at most. A transfer waits for a payee whose registration was recorded before.
func (m *model) process(n int) {
	for range n {
		var able []int
		for p := range m.log {
			if at := m.books.Cursors[p]; at < int64(len(m.log[p])) && !m.waits(m.log[p][at]) {
				able = append(able, p)
			}
		}
		if len(able) == 0 {
			return
		}
		p := able[m.rng.IntN(len(able))]
		m.apply(m.log[p][m.books.Cursors[p]])
		m.books.Cursors[p]++
	}
}

func (m *model) waits(r Row) bool {
	to := contentOf(r.Data).To
	if r.Type != fullType(transferred) || m.accounts[to] != nil {
		return false
	}
	p := partitionOf(to)
	return slices.ContainsFunc(m.log[p][m.books.Cursors[p]:], func(o Row) bool {
		return o.Type == fullType(registered) && o.Subject == to && m.recorded[o.Place] < m.recorded[r.Place]
	})
}

func (m *model) apply(r Row) {
	d := contentOf(r.Data)
	e := Entry{Place: r.Place, Subject: r.Subject, Type: r.Type, Outcome: "rejected"}
	a := m.accounts[r.Subject]
	var payee *Account
	var amount, fee int64
	reason := ""
	reject := func(when bool, why string) {
		if when && reason == "" {
			reason = why
		}
	}
	if r.Type == fullType(registered) {
		reject(a != nil, "npub_taken")
		reject(m.handles[d.Handle], "handle_taken")
		if reason == "" {
			a = &Account{Npub: d.Npub, Handle: d.Handle}
			m.accounts[d.Npub], m.handles[d.Handle] = a, true
		}
	}
	reject(a == nil, "unknown_wallet")
	switch q := m.quotes[d.Quote]; r.Type {
	case fullType(credited):
		amount = d.Amount
		reject(a != nil && d.Amount > maxAmount-a.Balance, "balance_overflow")
	case fullType(debited):
		amount, fee = -d.Amount, d.Fee
		reject(a != nil && d.cost() > a.Balance, "insufficient_funds")
	case fullType(transferred):
		amount, fee = -d.Amount, d.Fee
		payee = m.accounts[d.To]
		reject(payee == nil, "unknown_payee")
		reject(a != nil && d.cost() > a.Balance, "insufficient_funds")
		reject(payee == a, "self_transfer")
	case fullType(quoteMade):
		reject(q != nil, "quote_taken")
		if reason == "" {
			m.quotes[d.Quote] = &Quote{Quote: d.Quote, Npub: r.Subject, Amount: d.Amount}
		}
	case fullType(quotePaid):
		reject(q == nil || q.Npub != r.Subject, "unknown_quote")
		reject(q != nil && q.Paid, "quote_paid")
		if reason == "" {
			amount, q.Paid = q.Amount, true
		}
	}
	if e.Reason = reason; reason == "" {
		e.Outcome, e.Amount, e.Fee = applied, amount, fee
	}
	if a != nil {
		a.Balance += e.Amount - e.Fee
		a.Entries++
		e.Seq, e.Balance = a.Entries, a.Balance
	}
	m.books.Entries = append(m.books.Entries, e)
	if reason == "" && payee != nil {
		payee.Balance -= amount
		payee.Entries++
		m.books.Entries = append(m.books.Entries, Entry{
			Place: r.Place, Leg: 1, Subject: payee.Npub, Seq: payee.Entries, Type: r.Type, Outcome: applied, Amount: -amount, Balance: payee.Balance,
		})
	}
}
