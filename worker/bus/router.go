package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
)

// Router runs handlers on Watermill's router.
//
// Watermill's router begins its Close by ending the context that it subscribed with. Here that would roll the batches in
// hand back, so the subscriptions get Start's context instead, and Close closes the subscribers.
type Router struct {
	router      *message.Router
	subscribers []*Subscriber
	hard        context.Context //nolint:containedctx // Watermill calls Subscribe, and passes a context of its own
	failed      chan error      // of the router itself
}

// routed is a subscriber as Watermill's router sees it.
type routed struct {
	*Subscriber
	router *Router
}

func (s routed) Subscribe(_ context.Context, topic string) (<-chan *message.Message, error) {
	return s.Subscriber.Subscribe(s.router.hard, topic) //nolint:contextcheck // on purpose: see Router
}

// NewRouter makes a router whose Close waits at most closeTimeout for the batches in hand.
func NewRouter(logger *slog.Logger, closeTimeout time.Duration) (*Router, error) {
	if logger == nil {
		logger = slog.Default()
	}
	r, err := message.NewRouter(message.RouterConfig{CloseTimeout: closeTimeout}, frameLogger{logger})
	if err != nil {
		return nil, fmt.Errorf("watermill router: %w", err)
	}
	r.AddMiddleware(remember) // first, so outermost: it sees what the others make of an error
	return &Router{router: r, failed: make(chan error, 1)}, nil
}

// Handle lets a subscriber's handler process a topic. It is called before Start. A handler without a session runs on Watermill's
// router itself.
func (r *Router) Handle(name, topic string, s *Subscriber) {
	r.subscribers = append(r.subscribers, s)
	observer := s.bus.observer
	r.router.AddConsumerHandler(name, topic, routed{s, r}, func(m *message.Message) error {
		d := deliveryOf(m.Context())
		if d == nil || d.session == nil {
			return errors.New("the message came from no batch with a session")
		}
		began := time.Now()
		err := d.process(m.Context())
		observer.Handled(name, time.Since(began), err == nil)
		return err
	})
}

// Start runs the router until Close. It returns when every handler is subscribed. ctx is the hard end: when it is done,
// batches in hand are rolled back.
func (r *Router) Start(ctx context.Context) error {
	r.hard = ctx
	go func() { r.failed <- r.router.Run(ctx) }()
	select {
	case <-r.router.Running():
		return nil
	case err := <-r.failed:
		if err == nil {
			err = ErrClosed
		}
		return err
	}
}

// Failed receives the router's end: nil after Close.
func (r *Router) Failed() <-chan error { return r.failed }

// Close stops claiming, finishes the batches in hand, and returns when the last is committed, or with an error when the
// router's closeTimeout is over.
func (r *Router) Close() error {
	var closing sync.WaitGroup
	for _, s := range r.subscribers {
		closing.Go(func() { s.Close() }) //nolint:errcheck // it has nothing to report
	}
	if err := r.router.Close(); err != nil {
		return err
	}
	closing.Wait()
	return nil
}

// remember keeps the error of a message's handling for the lane, which has only the missing acknowledgement. A panic
// is an error too.
func remember(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		out, err := safely(next, m)
		if d := deliveryOf(m.Context()); d != nil {
			d.err = err
		}
		return out, err
	}
}

func safely(next message.HandlerFunc, m *message.Message) (out []*message.Message, err error) {
	defer recovered(&err)
	return next(m)
}

// frameLogger is Watermill's logger. What it reports of the router's life and of each failed message is for debugging:
// the lane reports a failure once, with what it does about it. Of messages that went well nothing is said.
type frameLogger struct{ logger *slog.Logger }

func (l frameLogger) Error(msg string, err error, fields watermill.LogFields) {
	l.with(fields).Debug(msg, "error", err)
}
func (l frameLogger) Info(msg string, fields watermill.LogFields)  { l.with(fields).Debug(msg) }
func (l frameLogger) Debug(msg string, fields watermill.LogFields) { l.with(fields).Debug(msg) }
func (l frameLogger) Trace(string, watermill.LogFields)            {}
func (l frameLogger) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return frameLogger{l.with(fields)}
}

func (l frameLogger) with(fields watermill.LogFields) *slog.Logger {
	logger := l.logger
	for name, value := range fields {
		logger = logger.With(name, value)
	}
	return logger
}
