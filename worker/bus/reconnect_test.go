//go:build !race

// The suite's test of reconnecting reads what its publishers have noted without waiting for them, which the race detector
// takes for the race that it is. So it runs without, among the long forms of the tests.

package bus_test

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/safebox/safebox/storage/dbtest"
)

const raced = false

// reconnectMessages is how many messages the suite's test of reconnecting publishes.
const reconnectMessages = 10_000

// The suite's test of reconnecting, which restarts the server twice while a hundred publishers and a subscriber are at work. It
// is run beside the suite and not in it: a server that is restarted is no place for the suite's other tests.
func TestWatermillsSuiteOfReconnecting(t *testing.T) {
	server := dbtest.Server(t, dbtest.Options{})
	address, restarts := restarts(t, server)
	s := &suite{url: server.Database, lanes: 2}
	tests.TestReconnect(t, tests.TestContext{
		TestID: tests.NewTestID(),
		Features: tests.Features{
			ConsumerGroups: true, ExactlyOnceDelivery: true, GuaranteedOrder: true, Persistent: true,
			RestartServiceCommand: []string{os.Args[0], restartCommand, address},
		},
	}, func(t *testing.T) (message.Publisher, message.Subscriber) {
		pub, sub := s.pubSub(t)
		published := &atomic.Int32{}
		return counted{pub, published}, &lastHeldBack{Subscriber: sub, published: published, closing: make(chan struct{})}
	})
	eventually(t, "the server was restarted twice", func() bool { return restarts.Load() == 2 })
}

// counted counts what was published.
type counted struct {
	message.Publisher
	published *atomic.Int32
}

func (c counted) Publish(topic string, messages ...*message.Message) error {
	err := c.Publisher.Publish(topic, messages...)
	if err == nil {
		c.published.Add(int32(len(messages)))
	}
	return err
}

// lastHeldBack delivers the last message when all publishers know that they have published. The suite compares with what they
// know as soon as it has the last message; but a message whose publisher lost its connection before the answer is delivered
// long before the publisher has sent it again and learned that it was there.
type lastHeldBack struct {
	message.Subscriber
	published *atomic.Int32
	closing   chan struct{}
	running   sync.WaitGroup
}

func (s *lastHeldBack) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := s.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	s.running.Go(func() {
		defer close(out)
		seen := map[string]bool{}
		for m := range in {
			seen[m.UUID] = true
			if len(seen) == reconnectMessages {
				s.awaitPublishers()
			}
			select {
			case out <- m:
			case <-s.closing:
			}
		}
	})
	return out, nil
}

// awaitPublishers gives the publishers a moment more than they need, in which the suite notes what they tell it.
func (s *lastHeldBack) awaitPublishers() {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for all := false; ; all = s.published.Load() >= reconnectMessages {
		select {
		case <-again.C:
		case <-s.closing:
			return
		}
		if all {
			return
		}
	}
}

func (s *lastHeldBack) Close() error {
	close(s.closing)
	err := s.Subscriber.Close()
	s.running.Wait()
	return err
}
