package torture

import (
	"encoding/json"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestNothingIsFoundWhereEveryPromiseWasKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 4).Draw(t, "clients"), rapid.IntRange(1, 12).Draw(t, "batches"))
		report := Check(m.histories, &m.books)
		if len(report.Violations) > 0 {
			t.Fatal(report.Summary())
		}
	})
}

func TestAScriptReachesEveryOutcomeThatTheCheckerKnows(t *testing.T) {
	m := newModel(1, 3, 300)
	report := Check(m.histories, &m.books)
	for _, want := range []string{
		applied, "npub_taken", "handle_taken", "unknown_wallet", "unknown_payee", "insufficient_funds", "self_transfer", "balance_overflow",
		"quote_taken", "unknown_quote", "quote_paid",
	} {
		if report.Outcomes[want] == 0 {
			t.Errorf("no event was %s: %v", want, report.Outcomes)
		}
	}
	for _, want := range []string{ResultAppended, ResultDuplicate, ResultConflict, ResultRefused} {
		if report.Answers[want] == 0 {
			t.Errorf("no event was %s: %v", want, report.Answers)
		}
	}
	if report.Acknowledged != report.Events || report.Reads == 0 {
		t.Errorf("%+v", report)
	}
}

// spoilt is a violation planted into what a good cluster left; false: there is no place for it in this one.
type spoilt struct {
	name string
	want Kind
	do   func(m *model, pick func(n int) int) bool
}

// someEntry picks an entry that fits.
func (m *model) someEntry(pick func(int) int, fits func(Entry) bool) *Entry {
	var at []int
	for i, e := range m.books.Entries {
		if fits(e) {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return nil
	}
	return &m.books.Entries[at[pick(len(at))]]
}

func (m *model) someLine(pick func(int) int, fits func(Line) bool) *Line {
	var found []*Line
	for h := range m.histories {
		for i := range m.histories[h].Lines {
			if l := &m.histories[h].Lines[i]; fits(*l) {
				found = append(found, l)
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found[pick(len(found))]
}

// change changes what was picked, if anything was.
func change[T any](picked *T, do func(*T)) bool {
	if picked == nil {
		return false
	}
	do(picked)
	return true
}

func answered(result string) func(Line) bool {
	return func(l Line) bool { return l.Op == Answered && l.Result == result }
}

func outcome(typ, what string) func(Entry) bool {
	return func(e Entry) bool { return e.Leg == 0 && e.Type == fullType(typ) && outcomeOf(e) == what }
}

// without removes an event's entries and heals the chains behind them, as if it had been passed over.
func (m *model) without(at Place) {
	for _, e := range m.books.Entries {
		if e.Place != at || e.Seq == 0 {
			continue
		}
		for i := range m.books.Entries {
			if o := &m.books.Entries[i]; o.Subject == e.Subject && o.Seq > e.Seq {
				o.Seq--
				o.Balance -= e.Amount - e.Fee
			}
		}
		for i := range m.books.Accounts {
			if a := &m.books.Accounts[i]; a.Npub == e.Subject {
				a.Entries--
				a.Balance -= e.Amount - e.Fee
			}
		}
	}
	m.books.Entries = slices.DeleteFunc(m.books.Entries, func(e Entry) bool { return e.Place == at })
}

var spoils = []spoilt{
	{"an acknowledged event is not in the log", Lost, func(m *model, pick func(int) int) bool {
		i := pick(len(m.books.Log))
		at := m.books.Log[i].Place
		m.books.Log = slices.Delete(m.books.Log, i, i+1)
		m.without(at)
		return true
	}},
	{"an event was passed over", Lost, func(m *model, pick func(int) int) bool {
		return change(m.someEntry(pick, outcome(credited, applied)), func(e *Entry) { m.without(e.Place) })
	}},
	{"an event is in the log twice", Doubled, func(m *model, pick func(int) int) bool {
		r := m.books.Log[pick(len(m.books.Log))]
		r.Position = m.books.Cursors[r.Partition] + 1
		i := slices.IndexFunc(m.books.Log, func(o Row) bool { return o.Partition > r.Partition })
		if i < 0 {
			i = len(m.books.Log)
		}
		m.books.Log = slices.Insert(m.books.Log, i, r)
		return true
	}},
	{"an event was applied twice", Doubled, func(m *model, pick func(int) int) bool {
		return change(m.someEntry(pick, outcome(credited, applied)), func(e *Entry) {
			again := *e
			for i := range m.books.Accounts {
				if a := &m.books.Accounts[i]; a.Npub == e.Subject {
					a.Balance += e.Amount
					a.Entries++
					again.Seq, again.Balance = a.Entries, a.Balance
				}
			}
			m.books.Entries = append(m.books.Entries, again)
		})
	}},
	{"an event is acknowledged as new twice", Doubled, func(m *model, pick func(int) int) bool {
		return change(m.someLine(pick, answered(ResultAppended)), func(l *Line) {
			for h := range m.histories {
				lines := &m.histories[h].Lines
				if i := slices.Index(*lines, *l); i >= 0 {
					*lines = slices.Insert(*lines, i, *l)
					return
				}
			}
		})
	}},
	{"two events of a client changed places in the log", OutOfOrder, func(m *model, pick func(int) int) bool {
		type stream struct{ source, subject string }
		last := map[stream]int{}
		var pairs [][2]int
		for i, r := range m.books.Log {
			k := stream{r.Source, r.Subject}
			if before, there := last[k]; there {
				pairs = append(pairs, [2]int{before, i})
			}
			last[k] = i
		}
		if len(pairs) == 0 {
			return false
		}
		p := pairs[pick(len(pairs))]
		a, b := &m.books.Log[p[0]], &m.books.Log[p[1]]
		a.Place, b.Place = b.Place, a.Place
		*a, *b = *b, *a
		return true
	}},
	{"a wallet's events were processed in another order", OutOfOrder, func(m *model, pick func(int) int) bool {
		first := m.someEntry(pick, func(e Entry) bool { return e.Leg == 0 && e.Seq > 0 })
		if first == nil {
			return false
		}
		second := m.someEntry(func(int) int { return 0 }, func(e Entry) bool {
			return e.Leg == 0 && e.Subject == first.Subject && e.Position > first.Position
		})
		return second != nil && change(second, func(e *Entry) { e.Seq, first.Seq = first.Seq, e.Seq })
	}},
	{"sats came from nowhere", Money, func(m *model, pick func(int) int) bool {
		if len(m.books.Accounts) == 0 {
			return false
		}
		m.books.Accounts[pick(len(m.books.Accounts))].Balance++
		return true
	}},
	{"an entry moved more than its event says", WrongOutcome, func(m *model, pick func(int) int) bool {
		return change(m.someEntry(pick, outcome(credited, applied)), func(e *Entry) { e.Amount++ })
	}},
	{"a wallet went below zero", WrongOutcome, func(m *model, pick func(int) int) bool {
		return change(m.someEntry(pick, outcome(debited, "insufficient_funds")), func(e *Entry) { e.Outcome, e.Reason = applied, "" })
	}},
	{"a payment was rejected although there was enough", WrongOutcome, func(m *model, pick func(int) int) bool {
		c := checkerOf(m)
		return change(m.someEntry(pick, func(e Entry) bool {
			return outcome(debited, applied)(e)
		}), func(e *Entry) {
			e.Balance = c.before(*e)
			e.Outcome, e.Reason, e.Amount, e.Fee = "rejected", "insufficient_funds", 0, 0
		})
	}},
	{"a known payee was called unknown", WrongOutcome, func(m *model, pick func(int) int) bool {
		c := checkerOf(m)
		return change(m.someEntry(pick, func(e Entry) bool {
			return outcome(transferred, applied)(e) && c.knewPayee(c.at[e.Place], contentOf(c.at[e.Place].Data).To)
		}), func(e *Entry) {
			at := e.Place
			e.Outcome, e.Reason, e.Amount, e.Fee = "rejected", "unknown_payee", 0, 0
			m.books.Entries = slices.DeleteFunc(m.books.Entries, func(e Entry) bool { return e.Place == at && e.Leg == 1 })
		})
	}},
	{"an event got another reason", WrongOutcome, func(m *model, pick func(int) int) bool {
		return change(m.someEntry(pick, func(e Entry) bool { return e.Reason == "npub_taken" }), func(e *Entry) { e.Reason = "handle_taken" })
	}},
	{"an event of nobody is in the log", Stranger, func(m *model, pick func(int) int) bool {
		m.books.Log[pick(len(m.books.Log))].ID = "nobody's"
		return true
	}},
	{"an event has other content in the log", Stranger, func(m *model, pick func(int) int) bool {
		r := &m.books.Log[pick(len(m.books.Log))]
		r.Data = json.RawMessage(`{"amount":123456}`)
		return true
	}},
	{"an event is parked", Parked, func(m *model, pick func(int) int) bool {
		r := m.books.Log[pick(len(m.books.Log))]
		m.books.Parked = append(m.books.Parked, r.Place)
		return true
	}},
	{"a good event was refused", WrongAnswer, func(m *model, pick func(int) int) bool {
		return change(m.someLine(pick, answered(ResultAppended)), func(l *Line) { l.Result, l.Field = ResultRefused, badField })
	}},
	{"a bad event was taken", WrongAnswer, func(m *model, pick func(int) int) bool {
		return change(m.someLine(pick, answered(ResultRefused)), func(l *Line) { l.Result = ResultAppended })
	}},
	{"another content was called a duplicate", WrongAnswer, func(m *model, pick func(int) int) bool {
		return change(m.someLine(pick, answered(ResultConflict)), func(l *Line) { l.Result = ResultDuplicate })
	}},
	{"the client was told another place", WrongAnswer, func(m *model, pick func(int) int) bool {
		return change(m.someLine(pick, answered(ResultAppended)), func(l *Line) { l.Position++ })
	}},
	{"a read of a wallet shows less than an earlier one", Stale, func(m *model, pick func(int) int) bool {
		return change(m.someLine(pick, func(l Line) bool { return l.Op == Wallet && l.Entries > 0 }), func(l *Line) {
			for h := range m.histories {
				m.histories[h].Lines = append(m.histories[h].Lines, Line{Op: Wallet, Began: m.tick(), At: m.tick(), Subject: l.Subject})
			}
		})
	}},
	{"a read of a wallet shows sats that it never had", Stale, func(m *model, pick func(int) int) bool {
		return change(m.someLine(pick, func(l Line) bool { return l.Op == Wallet && l.Entries > 0 }), func(l *Line) { l.Balance++ })
	}},
	{"a read of the log does not show what was acknowledged", Stale, func(m *model, pick func(int) int) bool {
		return change(m.someLine(pick, func(l Line) bool { return answered(ResultAppended)(l) }), func(l *Line) {
			for h := range m.histories {
				lines := &m.histories[h].Lines
				if slices.Index(*lines, *l) >= 0 {
					*lines = append(*lines, Line{Op: Head, Began: m.tick(), At: m.tick(), Partition: l.Partition, Position: l.Position - 1})
					return
				}
			}
		})
	}},
}

// checkerOf is a checker that has looked at what a model left.
func checkerOf(m *model) *checker {
	c := newChecker(&m.books)
	for _, h := range m.histories {
		c.answers(h)
	}
	return c
}

func TestEachPlantedViolationIsFound(t *testing.T) {
	const times = 8
	for _, s := range spoils {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			planted := 0
			for seed := uint64(1); planted < times && seed < 10*times; seed++ {
				m := newModel(seed, 1+int(seed%3), 8)
				if !s.do(m, m.rng.IntN) {
					continue
				}
				planted++
				if report := Check(m.histories, &m.books); report.Count(s.want) == 0 {
					t.Errorf("seed %d: nothing is %s:\n%s", seed, s.want, report.Summary())
				}
			}
			if planted < times {
				t.Errorf("it was planted only %d times", planted)
			}
		})
	}
}
