package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/safebox/safebox/worker/api"
	"github.com/safebox/safebox/worker/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	structured = "application/cloudevents+json"
	batched    = "application/cloudevents-batch+json"
)

var npub = event.EncodeNpub([32]byte{1, 2, 3})

// memory is an appender that keeps its events in a map. It is no database: what is under test is the HTTP around it.
type memory struct {
	mu     sync.Mutex
	events map[string]event.Event
	places map[string]event.Receipt
	heads  event.Positions
	calls  int
	fail   func(context.Context) error // asked before each append
}

func (m *memory) Append(ctx context.Context, topic string, events []event.Event) ([]event.Receipt, error) {
	if topic != event.Topic {
		return nil, fmt.Errorf("unexpected topic %q", topic)
	}
	m.mu.Lock()
	m.calls++
	fail := m.fail
	m.mu.Unlock()
	if fail != nil {
		if err := fail(ctx); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.events == nil {
		m.events, m.places = map[string]event.Event{}, map[string]event.Receipt{}
	}
	receipts := make([]event.Receipt, len(events))
	for i, e := range events {
		key := e.Source + " " + e.ID
		receipts[i] = m.places[key]
		switch old, there := m.events[key]; {
		case !there:
			p := event.Partition(e.Subject)
			m.heads[p]++
			receipts[i] = event.Receipt{Result: event.Appended, Partition: p, Position: m.heads[p]}
			m.events[key], m.places[key] = e, receipts[i]
		case old.SameContent(e):
			receipts[i].Result = event.Duplicate
		default:
			receipts[i].Result = event.Conflict
		}
	}
	return receipts, nil
}

func (m *memory) count() (events, calls int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.events), m.calls
}

// tally is an observer that keeps its counts.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (t *tally) Appended(typ, result string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	t.counts[typ+" "+result] += n
}

// logs is a logger's output that may be written and read at once.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// serve runs the handler on a loopback address for the time of a test.
func serve(t *testing.T, o api.Options) (url string) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := httptest.NewServer(api.New(o))
	t.Cleanup(s.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s.URL
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
	// operation is the one of the description that was asked: "GET /livez".
	operation string
}

// do sends a request; headers are pairs of key and value.
func do(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, raw: string(b)}
	if strings.HasSuffix(res.Header.Get("Content-Type"), "json") && len(b) > 0 {
		if err := json.Unmarshal(b, &a.body); err != nil {
			t.Fatalf("body %q is not JSON: %v", b, err)
		}
	}
	a.operation = described(t, method, url, a)
	return a
}

func post(t *testing.T, url, contentType, body string, headers ...string) answer {
	t.Helper()
	return do(t, http.MethodPost, url+"/v1/events", body, append([]string{"Content-Type", contentType}, headers...)...)
}

// wantProblem holds an answer to the shape of a problem document with the given status and type.
func wantProblem(t *testing.T, a answer, status int, typ string) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.raw)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q, want application/problem+json", got)
	}
	if got := a.body["type"]; got != typ {
		t.Errorf("type %v, want %s", got, typ)
	}
	if got := a.body["status"]; got != float64(status) {
		t.Errorf("status member %v, want %d", got, status)
	}
	for _, member := range []string{"title", "detail"} {
		if s, _ := a.body[member].(string); s == "" {
			t.Errorf("member %s is missing: %s", member, a.raw)
		}
	}
}

// credit is a structured event that adds sats to a wallet.
func credit(id string, amount int) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/test","type":"safebox.funds.credited.v1","subject":%q,"data":{"amount":%d}}`,
		id, npub, amount)
}
