package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
)

// Router runs handlers on Watermill's router.
type Router struct {
	router *message.Router
	failed chan error // of the router itself
}

// NewRouter makes a router whose Close waits at most closeTimeout for the batches in hand.
func NewRouter(logger *slog.Logger, closeTimeout time.Duration) (*Router, error) {
	r, err := message.NewRouter(message.RouterConfig{CloseTimeout: closeTimeout}, watermill.NewSlogLogger(quiet(logger)))
	if err != nil {
		return nil, fmt.Errorf("watermill router: %w", err)
	}
	// The outermost middleware sees what the others make of an error or a panic.
	r.AddMiddleware(remember, middleware.Recoverer)
	return &Router{router: r, failed: make(chan error, 1)}, nil
}

// Handle lets a subscriber's handler process a topic. It is called before Start.
func (r *Router) Handle(name, topic string, s *Subscriber) {
	r.router.AddConsumerHandler(name, topic, s, func(m *message.Message) error {
		d := deliveryOf(m.Context())
		if d == nil || d.session == nil {
			return errors.New("the message came from no batch with a session")
		}
		var err error
		d.outcome, err = d.session.Handle(m.Context(), d.record)
		return err
	})
}

// Start runs the router until Close. It returns when every handler is subscribed. ctx is the hard end: when it is done,
// batches in hand are rolled back.
func (r *Router) Start(ctx context.Context) error {
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

// Close stops claiming, finishes the batches in hand, and returns when the last is committed.
func (r *Router) Close() error { return r.router.Close() }

func remember(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		out, err := next(m)
		if d := deliveryOf(m.Context()); d != nil {
			d.err = err
		}
		return out, err
	}
}

// quiet keeps Watermill's reports of each failed message at debug: the lane reports them once, with what it does about it.
func quiet(l *slog.Logger) *slog.Logger { return slog.New(demoted{l.Handler()}) }

type demoted struct{ slog.Handler }

func (d demoted) Enabled(ctx context.Context, _ slog.Level) bool {
	return d.Handler.Enabled(ctx, slog.LevelDebug)
}

func (d demoted) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return d.Handler.Handle(ctx, r)
}

func (d demoted) WithAttrs(attrs []slog.Attr) slog.Handler {
	return demoted{d.Handler.WithAttrs(attrs)}
}
func (d demoted) WithGroup(name string) slog.Handler { return demoted{d.Handler.WithGroup(name)} }
