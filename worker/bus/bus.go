package bus

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/safebox/safebox/worker/event"
)

// Options of New. The zero value works.
type Options struct {
	Observer Observer
	// Now reads the clock that the log's times of recording come from, as well as it is known here; nil: time.Now.
	Now func() time.Time
	// Span begins a span of a trace around a piece of work, which the returned context carries; nil: nothing is traced.
	Span   func(ctx context.Context, name string) (_ context.Context, end func())
	Logger *slog.Logger
}

// Bus ties the appends of a process to its own subscribers and to those of other processes.
type Bus struct {
	log      event.Log
	observer Observer
	now      func() time.Time
	span     func(context.Context, string) (context.Context, func()) // nil: none
	logger   *slog.Logger
	appender *appender

	mu       sync.Mutex
	watchers map[string]map[event.News]struct{} // by topic
}

// New makes a bus over a log. Close it after its subscribers.
func New(log event.Log, o Options) *Bus {
	b := &Bus{log: log, observer: o.Observer, now: o.Now, span: o.Span, logger: o.Logger, watchers: map[string]map[event.News]struct{}{}}
	if b.observer == nil {
		b.observer = nobody{}
	}
	if b.now == nil {
		b.now = time.Now
	}
	if b.logger == nil {
		b.logger = slog.Default()
	}
	b.appender = startAppender(b)
	return b
}

// Append writes events and answers each after the commit. Concurrent calls are committed in groups, which a call may wait 2 ms
// for. When ctx ends while the group is being written, the events may be in the log all the same: to append them again is
// safe. The events must not be changed afterwards.
func (b *Bus) Append(ctx context.Context, topic string, events []event.Event) ([]event.Receipt, error) {
	receipts, err := b.appender.append(ctx, topic, events)
	for i, r := range receipts {
		b.observer.Appended(events[i].Type, string(r.Result), 1)
	}
	return receipts, err
}

// Close ends the appends: those under way are finished, later ones fail.
func (b *Bus) Close() error {
	b.appender.close()
	return nil
}

func (b *Bus) watch(topic string) event.News {
	n := event.NewNews()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watchers[topic] == nil {
		b.watchers[topic] = map[event.News]struct{}{}
	}
	b.watchers[topic][n] = struct{}{}
	return n
}

func (b *Bus) unwatch(topic string, n event.News) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.watchers[topic], n)
	if len(b.watchers[topic]) == 0 {
		delete(b.watchers, topic)
	}
}

// tell tells the subscribers of this process how far a topic goes.
func (b *Bus) tell(topic string, heads event.Positions) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n := range b.watchers[topic] {
		n.Put(heads)
	}
}
