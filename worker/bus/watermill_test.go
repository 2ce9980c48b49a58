package bus_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// Watermill's universal suite, on both backends; with SAFEBOX_TEST_LONG in its stress mode (see also the build tag stress of
// its package), several at once. Its test of reconnecting is TestWatermillsSuiteOfReconnecting.
func TestWatermillsSuite(t *testing.T) {
	features := tests.Features{
		ConsumerGroups:                   true,
		ExactlyOnceDelivery:              true,
		GuaranteedOrder:                  true,
		Persistent:                       true,
		NewSubscriberReceivesOldMessages: true,
		ForceShort:                       raced, // continuous integration runs it at its full length as well
	}
	eachSuite(t, func(t *testing.T, s *suite) {
		all := tests.TestPubSub
		if os.Getenv("SAFEBOX_TEST_LONG") == "1" {
			all = tests.TestPubSubStressTest
		}
		all(t, features, s.pubSub, s.group)
	})
}

// The tests that the suite has only for systems which may deliver twice.
func TestWatermillsSuiteOfClosedSubscribers(t *testing.T) {
	features := tests.Features{Persistent: true}
	eachSuite(t, func(t *testing.T, s *suite) {
		for name, test := range map[string]func(*testing.T, tests.TestContext, tests.PubSubConstructor){
			"ContinueAfterSubscribeClose": tests.TestContinueAfterSubscribeClose,
			"ConcurrentClose":             tests.TestConcurrentClose,
		} {
			t.Run(name, func(t *testing.T) {
				test(t, tests.TestContext{TestID: tests.NewTestID(), Features: features}, s.pubSub)
			})
		}
	})
}

func eachSuite(t *testing.T, run func(*testing.T, *suite)) {
	t.Run("sqlite", func(t *testing.T) { run(t, &suite{url: dbtest.SQLite, lanes: 1, shared: true}) })
	t.Run("postgresql", func(t *testing.T) { run(t, &suite{url: dbtest.PostgreSQL, lanes: 2}) })
}

// suite makes publishers and subscribers for the tests of the suite. Each test has a database of its own. Each subscriber
// has a handle of its own on it, as a process would, where the suite makes fifty of them and lets each hold a message; a
// SQLite file, where such a message holds the one write lock, is shared by the subscribers of one process.
type suite struct {
	url    func(testing.TB) string
	lanes  int
	shared bool

	mu     sync.Mutex
	urls   map[string]string // by the test's name
	shares map[string]storage.DB
	gates  map[string]*atomic.Int32
}

// gated holds the claims back until all of the subscribers have joined: the suite takes no message before, and that may
// take longer on a busy machine than the server leaves a transaction idle.
func (s *suite) gated(t *testing.T, log event.Log) event.Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gates == nil {
		s.gates = map[string]*atomic.Int32{}
	}
	if s.gates[t.Name()] == nil {
		s.gates[t.Name()] = &atomic.Int32{}
	}
	return gate{log, s.gates[t.Name()]}
}

// subscribers is how many the suite makes in its test of concurrent ones.
func subscribers() int32 {
	if raced {
		return 10
	}
	return 50
}

type gate struct {
	event.Log
	joined *atomic.Int32
}

func (g gate) Join(ctx context.Context, topic, group string) error {
	defer g.joined.Add(1)
	return g.Log.Join(ctx, topic, group)
}

func (g gate) Claim(ctx context.Context, topic, group string, partitions []int, limit int) (event.Batch, error) {
	if g.joined.Load() < subscribers() {
		return nil, event.ErrClaimed
	}
	return g.Log.Claim(ctx, topic, group, partitions, limit)
}

func (s *suite) database(t *testing.T) storage.DB {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.urls == nil {
		s.urls, s.shares = map[string]string{}, map[string]storage.DB{}
	}
	switch url, known := s.urls[t.Name()]; {
	case !known:
		url = s.url(t)
		s.urls[t.Name()], s.shares[t.Name()] = url, storagetest.Ready(t, url)
	case !s.shared:
		return storagetest.Open(t, url)
	}
	return s.shares[t.Name()]
}

// pubSub is for tests whose subscribers share their work; but the one about old messages means independent ones.
func (s *suite) pubSub(t *testing.T) (message.Publisher, message.Subscriber) {
	if strings.Contains(t.Name(), "NewSubscriberReceivesOldMessages") {
		return s.group(t, watermill.NewUUID())
	}
	return s.group(t, "shared")
}

func (s *suite) group(t *testing.T, group string) (message.Publisher, message.Subscriber) {
	db := s.database(t)
	lanes := s.lanes
	var log event.Log = db
	if strings.Contains(t.Name(), "TestConcurrentSubscribe/") {
		lanes = 1 // they are in one another's way as it is
		log = s.gated(t, db)
	}
	b := bus.New(log, bus.Options{Logger: quiet()})
	sub, err := b.Subscriber(bus.SubscriberOptions{Group: group, Lanes: lanes, CloseTimeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the suite leaves some open
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return withSubject{b.Publisher(), subjectFor(t)}, sub
}

// subjectFor says what orders the messages of a test: the suite knows order in a topic, or of the messages with one
// payload, where we have order of a subject.
func subjectFor(t *testing.T) func(*message.Message) string {
	switch {
	case strings.Contains(t.Name(), "TestNoAck"):
		return func(*message.Message) string { return "one for all" }
	case strings.Contains(t.Name(), "InOrder"):
		return func(m *message.Message) string { return string(m.Payload) }
	default:
		return func(m *message.Message) string { return m.UUID }
	}
}

type withSubject struct {
	message.Publisher
	subject func(*message.Message) string
}

func (p withSubject) Publish(topic string, messages ...*message.Message) error {
	ordered := make([]*message.Message, len(messages))
	for i, m := range messages {
		ordered[i] = m.CopyWithContext()
		ordered[i].Metadata.Set("ce_subject", p.subject(m))
	}
	return p.Publisher.Publish(topic, ordered...)
}
