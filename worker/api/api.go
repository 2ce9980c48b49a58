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
	// Queries and Operations answer what is below /v1 beside the events; nil: there are no such paths.
	Queries    Queries
	Operations Operations
	// IngestToken is the bearer token that POST /v1/events asks for, AdminToken that of the status, the parked events and the
	// console; wallets and events are read with either. What has no token answers this machine alone.
	IngestToken, AdminToken string
	// MaxHeld is the most bytes of bodies that are held at once, of all requests that wait for their commit; 0: 64 MiB. A
	// request for which there is no room is answered 503 with Retry-After.
	MaxHeld  int64
	Observer Observer     // nil: none
	Logger   *slog.Logger // nil: slog.Default
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
	if o.MaxHeld == 0 {
		o.MaxHeld = bodiesLimit
	}
	return observed(o.Logger, routed(routes(o)))
}

// routes is all that there is: what /openapi.json describes.
func routes(o Options) []route {
	troubles := &troubles{logger: o.Logger}
	gate := &gate{ready: o.Ready}
	post := newGuard("events are taken", "SAFEBOX_INGEST_TOKEN", o.IngestToken)
	read := newGuard("events and wallets are shown", "SAFEBOX_INGEST_TOKEN or SAFEBOX_ADMIN_TOKEN", o.IngestToken, o.AdminToken)
	admin := newGuard("the cluster is shown and seen to", "SAFEBOX_ADMIN_TOKEN", o.AdminToken)
	look := admin.forBrowsers()
	json := []string{"application/json"}

	all := []route{
		{http.MethodGet, "/livez", nil, nil, liveness(o.Stuck)},
		{http.MethodGet, "/readyz", nil, nil, readiness(o.Ready)},
		{http.MethodGet, "/openapi.json", nil, nil, openAPI()},
		{http.MethodPost, "/v1/events", post, json, (&budget{most: o.MaxHeld}).spend(&ingest{
			appender: o.Appender, observer: o.Observer, gate: gate, logger: o.Logger, troubles: troubles,
		})},
	}
	if o.Metrics != nil {
		all = append(all, route{http.MethodGet, "/metrics", nil, nil, o.Metrics})
	}
	if o.Queries != nil {
		q := &queries{from: o.Queries, gate: gate, troubles: troubles}
		all = append(all,
			route{http.MethodGet, "/v1/events/{source}/{id}", read, json, q.answer(q.event)},
			route{http.MethodGet, "/v1/wallets/{key}", read, json, q.answer(q.wallet)},
			route{http.MethodGet, "/v1/wallets/{key}/entries", read, json, q.answer(q.entries)},
			route{http.MethodGet, "/v1/status", look, json, http.HandlerFunc(q.status)},
			route{http.MethodGet, "/v1/parked", look, json, q.answer(q.parked)},
			route{http.MethodGet, "/{$}", look, nil, console()},
		)
	}
	if o.Operations != nil {
		does := func(name string, do func(context.Context, string, event.Operator) (event.ParkedResult, error)) http.Handler {
			return &operation{name: name, do: do, gate: gate, troubles: troubles, logger: o.Logger}
		}
		all = append(all,
			route{http.MethodPost, "/v1/parked/{subject}/retry", admin, json, does(event.ActionRetry, o.Operations.Retry)},
			route{http.MethodPost, "/v1/parked/{subject}/skip", admin, json, does(event.ActionSkip, o.Operations.Skip)},
		)
	}
	return all
}

type nobody struct{}

func (nobody) Appended(string, string, int) {}
