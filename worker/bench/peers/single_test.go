package peers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/api"
	"github.com/safebox/safebox/worker/bench"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// singles is how many connections or goroutines append single events at once.
const singles = 64

// insertsByPgbench is single-row inserts a second into a table like the log, with its indexes, by 64 clients.
func insertsByPgbench(ctx context.Context, tb testing.TB, url string, seconds int) (float64, error) {
	err := execute(ctx, url, "CREATE TABLE bench_insert (LIKE event_log INCLUDING ALL)")
	if err != nil {
		return 0, err
	}
	// As many bytes as an event of the workload, and positions as dense.
	script := fmt.Sprintf(`\set i :i + 1
INSERT INTO bench_insert (topic, partition, position, source, id, type, subject, time, data, metadata, recorded_at)
VALUES ('%s', :client_id, :i, '/bench', 'e-' || :client_id || '-' || :i, '%s', '%s', now(), '{"amount":250,"memo":"tip"}', null, now());
`, event.Topic, event.TypeFundsCredited, bench.Npub(0))
	return pgbench(ctx, tb, url, script, singles, "-T", strconv.Itoa(seconds), "-D", "i=0")
}

// appendSingles is single appends a second by 64 goroutines through one bus, each waiting for its commit.
func appendSingles(ctx context.Context, tb testing.TB, url string, during time.Duration) (float64, error) {
	return withBus(ctx, tb, url, func(b *bus.Bus) (int64, float64, error) {
		return together(ctx, during, func(ctx context.Context, next func() (event.Event, bool)) error {
			for e, more := next(); more; e, more = next() {
				receipts, err := b.Append(ctx, event.Topic, []event.Event{e})
				if err == nil && receipts[0].Result != event.Appended {
					err = fmt.Errorf("event %s: %s", e.ID, receipts[0].Result)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// postSingles is single appends a second over HTTP by 64 connections, each waiting for its answer, which comes after the commit.
func postSingles(ctx context.Context, tb testing.TB, url string, during time.Duration) (float64, error) {
	return withBus(ctx, tb, url, func(b *bus.Bus) (int64, float64, error) {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, err
		}
		server := http.Server{Handler: api.New(api.Options{Appender: b, Logger: silent}), ReadHeaderTimeout: time.Second}
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(listener) }()
		n, rate, err := together(ctx, during, func(ctx context.Context, next func() (event.Event, bool)) error {
			return post(ctx, listener.Addr().String(), next)
		})
		closed := server.Close()
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return n, rate, errors.Join(err, closed)
	})
}

// withBus gives a bus on a database where nothing waits to be processed, and expects what was appended to be in the log.
func withBus(ctx context.Context, tb testing.TB, url string, work func(*bus.Bus) (int64, float64, error)) (rate float64, err error) {
	c := cluster(tb, url)
	o := c.Storage
	o.Role, o.Instance = "bench", "producer"
	db, err := storage.Open(ctx, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	b := bus.New(db, bus.Options{Logger: silent}) //nolint:contextcheck // it is closed below
	defer b.Close()
	n, rate, err := work(b)
	if err != nil {
		return 0, err
	}
	backlog, err := worker.Backlog(ctx, db)
	if err == nil && backlog != n {
		err = fmt.Errorf("%d events were acknowledged, and the log has %d", n, backlog)
	}
	return rate, err
}

// together lets 64 producers work for a while and returns how many events they appended, and how many a second.
func together(
	ctx context.Context, during time.Duration, produce func(context.Context, func() (event.Event, bool)) error,
) (appended int64, rate float64, err error) {
	var n, done atomic.Int64
	began := time.Now()
	next := func() (event.Event, bool) {
		if time.Since(began) >= during {
			return event.Event{}, false
		}
		i := n.Add(1)
		return event.Event{
			ID: fmt.Sprintf("s-%d", i), Source: "/bench", Type: event.TypeFundsCredited, Subject: bench.Npub(int(i % 1000)),
			Time: began, Data: []byte(`{"amount":250,"memo":"tip"}`),
		}, true
	}
	var all sync.WaitGroup
	errs := make(chan error, singles)
	for range singles {
		all.Go(func() {
			mine := int64(-1) // the first call only begins
			errs <- produce(ctx, func() (event.Event, bool) {
				mine++
				e, more := next()
				if !more {
					done.Add(mine)
				}
				return e, more
			})
		})
	}
	all.Wait()
	took := time.Since(began)
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return done.Load(), float64(done.Load()) / took.Seconds(), err
}

// post is a client of one connection that costs little, so that the server is measured and not the client.
func post(ctx context.Context, addr string, next func() (event.Event, bool)) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	answer := bufio.NewReader(conn)
	var request bytes.Buffer
	for e, more := next(); more; e, more = next() {
		body, err := json.Marshal(map[string]any{
			"specversion": "1.0", "id": e.ID, "source": e.Source, "type": e.Type, "subject": e.Subject,
			"time": e.Time.Format(time.RFC3339Nano), "data": json.RawMessage(e.Data),
		})
		if err != nil {
			return err
		}
		request.Reset()
		fmt.Fprintf(&request, "POST /v1/events HTTP/1.1\r\nHost: %s\r\nContent-Type: application/cloudevents+json\r\nContent-Length: %d\r\n\r\n", addr, len(body))
		request.Write(body)
		if _, err := conn.Write(request.Bytes()); err != nil {
			return err
		}
		if err := created(answer); err != nil {
			return err
		}
	}
	return nil
}

// created reads an answer and expects 201.
func created(r *bufio.Reader) error {
	status, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if line = strings.TrimSpace(line); line == "" {
			break
		}
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		}
	}
	body, err := io.ReadAll(io.LimitReader(r, int64(length)))
	if err == nil && !strings.Contains(status, " 201 ") {
		err = fmt.Errorf("the answer is %s: %s", strings.TrimSpace(status), body)
	}
	return err
}
