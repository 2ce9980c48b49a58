package bus_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// The simulation runs the engine's decisions (claim, fold, retry, halving, parking) and the ledger's, the code itself, against a
// database in memory, by a schedule that a seed draws: which lane goes on to its next statement, what fails there and how, which
// lane dies, what a lane knows of the log. Nothing waits: a pause is over when the schedule says so. Every batch that commits is
// compared with a plain sequential reference, and so is what is left at the end.

// schedule is one run.
type schedule struct {
	rng     *rand.Rand
	faults  int // that may still come
	db      *simulated
	skipped map[string]bool
	lanes   []*simulatedLane
}

// simulatedLane is a lane as a coroutine: next lets it go on to its next statement.
type simulatedLane struct {
	next func() (struct{}, bool)
	stop func()
	kill context.CancelFunc
	lane *bus.Lane
}

type laneKey struct{}

// reach is where a lane stands before a statement, or after a commit: others come first, and then it may fail.
func (s *schedule) reach(ctx context.Context, what string) error {
	pass, _ := ctx.Value(laneKey{}).(func(struct{}) bool)
	if pass == nil { // the operator, whom nothing disturbs
		return nil
	}
	if what != "committed" && !pass(struct{}{}) {
		return errGone
	}
	if s.faults == 0 || s.rng.IntN(6) > 0 {
		return nil
	}
	s.faults--
	return errPassing
}

// keys are the wallets of the simulation: two of the four share a partition.
var keys = func() (npubs []string) {
	for i := 0; len(npubs) < 4; i++ {
		npub := event.EncodeNpub([32]byte{byte(i), byte(i >> 8), 7})
		if len(npubs) != 1 || event.Partition(npub) == event.Partition(npubs[0]) {
			npubs = append(npubs, npub)
		}
	}
	return npubs
}()

// draw fills the log.
func (s *schedule) draw() {
	d := s.db
	for n := range 3 + s.rng.IntN(8) {
		subject := keys[s.rng.IntN(len(keys))]
		name, typ, data := "good", event.TypeFundsCredited, fmt.Sprintf(`{"amount":%d}`, 1+s.rng.IntN(9))
		switch pick := s.rng.IntN(16); {
		case n < 2 || pick < 3:
			typ, data = event.TypeWalletRegistered, fmt.Sprintf(`{"npub":%q,"handle":"h%d","home_relay":"wss://r","onboard_code":"c"}`, subject, n)
		case pick < 6:
			typ, data = event.TypeFundsDebited, fmt.Sprintf(`{"amount":%d,"fee":%d}`, 1+s.rng.IntN(9), s.rng.IntN(2))
		case pick < 11:
			typ, data = event.TypeFundsTransferred, fmt.Sprintf(`{"to":%q,"amount":%d}`, keys[s.rng.IntN(len(keys))], 1+s.rng.IntN(6))
		case pick < 12 && s.rng.IntN(3) == 0:
			name = [...]string{"refused", "panics", "unreadable"}[s.rng.IntN(3)]
			if name == "unreadable" {
				data = `{"amount":"many"}`
			}
		}
		p := event.Partition(subject)
		if len(d.records[p]) == 0 {
			d.places = append(d.places, p)
		}
		at := noon.Add(time.Duration(n) * time.Second)
		d.records[p] = append(d.records[p], event.Record{
			Event: event.Event{ID: fmt.Sprintf("%s-%d", name, n), Source: "/s", Type: typ, Subject: subject, Time: at, Data: []byte(data)},
			Topic: topic, Partition: p, Position: int64(len(d.records[p]) + 1), RecordedAt: at,
		})
		d.heads[p]++
	}
}

// panicking is the ledger with a bug.
type panicking struct{ worker.Ledger }

func (l panicking) Begin(ctx context.Context, b event.Batch, records []event.Record) (bus.Session, error) {
	s, err := l.Ledger.Begin(ctx, b, records)
	return panickingSession{s}, err
}

type panickingSession struct{ bus.Session }

func (s panickingSession) Handle(ctx context.Context, r event.Record) (string, error) {
	if strings.HasPrefix(r.ID, "panics") {
		panic("a bug")
	}
	return s.Session.Handle(ctx, r)
}

// simulator runs schedules, one after another.
type simulator struct {
	event.Log
	db  *simulated // of the schedule that runs
	bus *bus.Bus
	out chan *message.Message
}

func (m *simulator) Claim(ctx context.Context, topic, group string, ps []int, limit int) (event.Batch, error) {
	return m.db.Claim(ctx, topic, group, ps, limit)
}

func newSimulator(tb testing.TB) *simulator {
	m := &simulator{out: make(chan *message.Message, 1)}
	m.bus = newBus(tb, m)
	consumed := make(chan struct{})
	go func() {
		defer close(consumed)
		bus.Consume(m.out)
	}()
	tb.Cleanup(func() {
		close(m.out)
		<-consumed
	})
	return m
}

// run runs the schedule of a seed and tells what was wrong.
func (m *simulator) run(seed uint64) error {
	s := &schedule{rng: rand.New(rand.NewPCG(seed, 0x51b)), skipped: map[string]bool{}}
	s.faults = s.rng.IntN(5)
	s.db = newSimulated(s)
	m.db = s.db
	s.draw()
	s.lanes = make([]*simulatedLane, 1+s.rng.IntN(3))
	for i := range s.lanes {
		s.lanes[i] = m.lane(s)
	}
	defer func() {
		for _, l := range s.lanes {
			l.end()
		}
	}()
	const most = 2000
	steps := 0
	for ; s.db.cursors != s.db.heads && s.db.wrong == nil && steps < most; steps++ {
		i := s.rng.IntN(len(s.lanes))
		switch l := s.lanes[i]; {
		case s.faults > 0 && s.rng.IntN(40) == 0: // it dies, and what it had in hand with it
			s.faults--
			l.end()
			s.lanes[i] = m.lane(s)
		case s.rng.IntN(8) == 0: // a look at the log
			l.lane.Learn(s.db.heads, s.db.cursors, s.rng.IntN(2) == 0)
		default:
			l.next()
		}
	}
	if steps == most {
		s.db.fail("after %d steps the cursors are still at %v", steps, s.db.cursors)
	}
	if s.db.wrong == nil {
		s.operate()
		s.db.settled()
	}
	return s.db.wrong
}

func newSimulated(s *schedule) *simulated {
	return &simulated{
		s: s, records: map[int][]event.Record{}, claimed: map[int]bool{}, parked: map[int][]event.Record{}, purses: map[string]purse{},
		accounts: map[string]ledger.Account{},
	}
}

// lane starts a lane that knows the log as it is now.
func (m *simulator) lane(s *schedule) *simulatedLane {
	options := bus.SubscriberOptions{Group: group, Handler: panicking{}, Batch: 1 + s.rng.IntN(5), Together: 1 + s.rng.IntN(3), MaxAttempts: 1 + s.rng.IntN(2)}
	lane, err := bus.NewLane(m.bus, options, topic, m.out, s.db.places[s.rng.IntN(len(s.db.places))])
	if err != nil {
		panic(err) // the options are right
	}
	lane.Learn(s.db.heads, s.db.cursors, false)
	l := &simulatedLane{lane: lane}
	l.next, l.stop = iter.Pull(func(pass func(struct{}) bool) {
		var ctx context.Context
		ctx, l.kill = context.WithCancel(context.WithValue(context.Background(), laneKey{}, pass))
		defer l.kill()
		for ctx.Err() == nil {
			if !lane.Step(ctx) && !pass(struct{}{}) {
				return
			}
		}
	})
	return l
}

// end lets a lane die where it stands.
func (l *simulatedLane) end() {
	if l.kill != nil {
		l.kill()
	}
	l.stop()
}

// operate retries or skips what is parked, as an operator may.
func (s *schedule) operate() {
	parked := bus.ParkedEvents{Log: s.db, Topic: topic, Group: group, Handler: panicking{}, Logger: quiet()}
	for _, subject := range keys {
		if s.rng.IntN(2) == 0 {
			continue
		}
		var err error
		by := event.Operator{Actor: "somebody", Reason: "a test"}
		if first := s.db.firstParked(subject); first != "" && s.rng.IntN(2) == 0 {
			s.skipped[first] = true
			_, err = parked.Skip(context.Background(), subject, by)
		} else {
			_, err = parked.Retry(context.Background(), subject, by)
		}
		if err != nil && !errors.Is(err, event.ErrNotFound) {
			s.db.fail("the operator: %v", err)
		}
	}
}

func (d *simulated) firstParked(subject string) string {
	for _, r := range d.parked[event.Partition(subject)] {
		if r.Subject == subject {
			return r.ID
		}
	}
	return ""
}

// schedules is how many a test runs; SAFEBOX_TEST_SEED runs the one with that seed alone.
func schedules(t *testing.T) (first, n uint64) {
	t.Helper()
	if text := os.Getenv("SAFEBOX_TEST_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SAFEBOX_TEST_SEED: %v", err)
		}
		return seed, 1
	}
	if os.Getenv("SAFEBOX_TEST_LONG") == "1" {
		return 0, 1_000_000
	}
	return 0, 3000
}

// Invariants 1 to 5, and the ledger's.
func TestEverySimulatedScheduleEndsAsTheReferenceSays(t *testing.T) {
	first, n := schedules(t)
	began := time.Now()
	var next, failed atomic.Uint64
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		m := newSimulator(t)
		running.Go(func() {
			for i := next.Add(1) - 1; i < n && failed.Load() < 5; i = next.Add(1) - 1 {
				if err := m.run(first + i); err != nil {
					failed.Add(1)
					t.Errorf("SAFEBOX_TEST_SEED=%d: %v", first+i, err)
				}
			}
		})
	}
	running.Wait()
	t.Logf("%d schedules in %.1f s", n, time.Since(began).Seconds())
}
