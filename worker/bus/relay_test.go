package bus_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/bus"
)

// A source appends what a broker delivers, and a sink forwards what is in the log: both are handlers of Watermill's own router,
// with the broker's publisher and subscriber on the other side. Here each broker is a bus over another database, and of what is
// published, every fifth message is not confirmed.
func TestSourceAndSinkBetweenTheLogAndABroker(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		log := newBus(t, storagetest.Ready(t, url))
		from, to := newBus(t, storagetest.Ready(t, dbtest.SQLite(t))), newBus(t, storagetest.Ready(t, dbtest.SQLite(t)))
		const in, out = "in", "out"
		events := messages("a", "b", "a", "c", "b", "a", "c", "a", "b", "a", "b", "c")
		for _, e := range events {
			m := message.NewMessage(e.ID, e.Data)
			m.Metadata = message.Metadata{"ce_source": e.Source, "ce_type": e.Type, "ce_subject": e.Subject}
			if err := from.Publisher().Publish(in, m); err != nil {
				t.Fatal(err)
			}
		}
		router, err := message.NewRouter(message.RouterConfig{CloseTimeout: patience}, watermill.NopLogger{})
		if err != nil {
			t.Fatal(err)
		}
		router.AddHandler("source", in, subscriber(t, from, bus.SubscriberOptions{Group: "source"}),
			topic, &forgetful{Publisher: log.Publisher()}, message.PassthroughHandler)
		router.AddHandler("sink", topic, subscriber(t, log, bus.SubscriberOptions{Group: "sink"}),
			out, &forgetful{Publisher: to.Publisher()}, message.PassthroughHandler)
		go router.Run(t.Context()) //nolint:errcheck // its end is that of the test
		t.Cleanup(func() {
			if err := router.Close(); err != nil {
				t.Error(err)
			}
		})
		forwarded, err := subscriber(t, to, bus.SubscriberOptions{Group: "reader"}).Subscribe(t.Context(), out)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		for range events {
			m := received(t, "a message came through", forwarded)
			m.Ack()
			subject := m.Metadata["ce_subject"]
			got[subject] = append(got[subject], m.UUID)
		}
		for _, e := range events {
			if want := fmt.Sprintf("%s/%d", e.Subject, slices.Index(got[e.Subject], e.ID)+1); want != e.ID {
				t.Errorf("subject %s came through as %v", e.Subject, got[e.Subject])
			}
		}
	})
}

// forgetful publishes every message, and says of each fifth that it did not.
type forgetful struct {
	message.Publisher
	mu sync.Mutex
	n  int
}

func (f *forgetful) Publish(topic string, messages ...*message.Message) error {
	if err := f.Publisher.Publish(topic, messages...); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n++; f.n%5 == 0 {
		return errors.New("the connection broke before the answer came")
	}
	return nil
}
