package api

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/safebox/safebox/worker/event"
)

// Appender writes events to the event log and answers each at its index, after the commit.
type Appender interface {
	Append(ctx context.Context, topic string, events []event.Event) ([]event.Receipt, error)
}

// Observer is told of events that were refused at the door. What became of the others, the appender knows.
type Observer interface {
	// Appended counts events of one type by result; here the result is always refused, and the type may be any text.
	Appended(typ, result string, n int)
}

// A Check is one condition of being ready.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"` // for people; it holds no secret
}

// Options of New.
type Options struct {
	Appender Appender // required
	// Ready tells each condition of being ready; nil: there are none. It should answer within its context's deadline.
	Ready func(context.Context) []Check
	// Stuck says what of the process does not move although it should, "" when all does; nil: nothing can be. It asks no
	// database, and where it does not return the process is stuck too.
	Stuck func() string
	// Metrics answers GET /metrics; nil: there is no such path.
	Metrics http.Handler
	// IngestToken is the bearer token that POST /v1/events asks for; empty: none, and only this machine may post.
	IngestToken string
	Observer    Observer     // nil: none
	Logger      *slog.Logger // nil: slog.Default
}

// New makes the handler of a replica's HTTP surface.
func New(o Options) http.Handler {
	if o.Ready == nil {
		o.Ready = func(context.Context) []Check { return nil }
	}
	if o.Stuck == nil {
		o.Stuck = func() string { return "" }
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	ingest := &ingest{
		appender: o.Appender,
		observer: o.Observer,
		gate:     gate{ready: o.Ready},
		logger:   o.Logger,
	}
	mux := http.NewServeMux()
	mux.Handle("/livez", only(http.MethodGet, liveness(o.Stuck)))
	mux.Handle("/readyz", only(http.MethodGet, readiness(o.Ready)))
	if o.Metrics != nil {
		mux.Handle("/metrics", only(http.MethodGet, o.Metrics))
	}
	mux.Handle("/v1/events", only(http.MethodPost, guarded(o.IngestToken, ingest)))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		notFound(r.URL.Path).write(w)
	})
	return observed(o.Logger, mux)
}

type nobody struct{}

func (nobody) Appended(string, string, int) {}
