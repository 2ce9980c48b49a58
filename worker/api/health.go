package api

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// checkTimeout bounds a look at the checks: a probe must hear "not ready", not time out.
const checkTimeout = 2 * time.Second

// liveness answers 200 while the process moves, else 503 with what does not.
func liveness(stuck func() string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status, word, detail := http.StatusOK, "ok", stuck()
		if detail != "" {
			status, word = http.StatusServiceUnavailable, "stuck"
		}
		writeJSON(w, "application/json", status, struct {
			Status string `json:"status"`
			Detail string `json:"detail,omitempty"`
		}{word, detail})
	})
}

// readiness answers 200 when every check holds, else 503; the body lists all of them either way.
func readiness(ready func(context.Context) []Check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		checks, ok := look(r.Context(), ready)
		status := http.StatusOK
		if !ok {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, "application/json", status, struct {
			Ready  bool    `json:"ready"`
			Checks []Check `json:"checks"`
		}{ok, checks})
	})
}

// look runs the checks; the list is never nil.
func look(ctx context.Context, ready func(context.Context) []Check) (checks []Check, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	checks = append([]Check{}, ready(ctx)...)
	for _, c := range checks {
		if !c.OK {
			return checks, false
		}
	}
	return checks, true
}

// A gate keeps events and questions out until the replica has been ready once. From then on it stays open: what can go wrong later, the
// append itself finds out, and asking the database before each append would double what an append costs.
type gate struct {
	ready func(context.Context) []Check
	open  atomic.Bool
	mu    sync.Mutex // one look at a time
}

// shut answers while the gate is not open, naming the first check that keeps it shut; nil when it is open.
func (g *gate) shut(ctx context.Context) *problem {
	check, open := g.pass(ctx)
	if open {
		return nil
	}
	return named(http.StatusServiceUnavailable, "not-ready", "Not ready", "this replica takes nothing yet: its check "+
		strconv.Quote(check)+" does not hold; /readyz tells more").retryAfter(time.Second)
}

// pass tells whether the gate is open; if not, it names the first check that keeps it shut.
func (g *gate) pass(ctx context.Context) (check string, open bool) {
	if g.open.Load() {
		return "", true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open.Load() {
		return "", true
	}
	checks, ok := look(ctx, g.ready)
	if ok {
		g.open.Store(true)
		return "", true
	}
	for _, c := range checks {
		if !c.OK {
			check = c.Name
			break
		}
	}
	return check, false
}
