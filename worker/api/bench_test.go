package api_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/safebox/safebox/worker/api"
	"github.com/safebox/safebox/worker/event"
)

// BenchmarkSingleEvent measures what the surface adds to an append: routing, token, decoding and answer, without the
// network and without a database.
func BenchmarkSingleEvent(b *testing.B) {
	h := api.New(api.Options{
		Appender:    fixed{Result: event.Appended, Position: 1},
		IngestToken: "a token",
		Logger:      slog.New(slog.DiscardHandler),
	})
	ctx := context.WithValue(b.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}))
	body := credit("1", 5)
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/events", strings.NewReader(body))
		req.Header.Set("Content-Type", structured)
		req.Header.Set("Authorization", "Bearer a token")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if rec.Code != http.StatusCreated {
			b.Fatalf("%d %s", rec.Code, rec.Body)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
