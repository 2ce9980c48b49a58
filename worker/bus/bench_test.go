package bus_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// countdown is a handler that does nothing but count, and tells when the last record came.
type countdown struct {
	left atomic.Int64
	done chan struct{}
}

func newCountdown(n int64) *countdown {
	c := &countdown{done: make(chan struct{})}
	c.left.Store(n)
	return c
}

func (c *countdown) Begin(context.Context, event.Batch, []event.Record) (bus.Session, error) {
	return c, nil
}

func (c *countdown) Handle(context.Context, event.Record) (string, error) {
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
	return "applied", nil
}
func (c *countdown) Skip(context.Context, event.Record) (string, error) { return "rejected", nil }
func (c *countdown) Finish(context.Context) error                       { return nil }

// BenchmarkRouter drains the log through the router with a handler that does nothing: what the frame itself costs, with
// the claims and the commits of its batches.
func BenchmarkRouter(b *testing.B) {
	b.Run("postgresql", func(b *testing.B) { benchmarkRouter(b, dbtest.PostgreSQL(b), 4) })
	b.Run("sqlite", func(b *testing.B) { benchmarkRouter(b, dbtest.SQLite(b), 1) })
}

func benchmarkRouter(b *testing.B, url string, lanes int) {
	const records, subjects = 50_000, 10_000
	db := storagetest.Ready(b, url)
	quiet := quiet()
	buses := bus.New(db, bus.Options{Logger: quiet})
	defer buses.Close()
	events := make([]event.Event, 0, 1000)
	for i := range records {
		events = append(events, event.Event{
			ID: fmt.Sprint(i), Source: "bench", Type: "bench.message", Subject: fmt.Sprint(i % subjects),
			Time: time.Unix(1_700_000_000, 0), Data: []byte(`{"amount":1}`),
		})
		if len(events) == cap(events) {
			if _, err := buses.Append(b.Context(), topic, events); err != nil {
				b.Fatal(err)
			}
			events = events[:0]
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for run := range b.N {
		c := newCountdown(records)
		router, err := bus.NewRouter(quiet, 10*time.Second)
		if err != nil {
			b.Fatal(err)
		}
		sub, err := buses.Subscriber(bus.SubscriberOptions{Group: fmt.Sprint("run ", run), Handler: c, Lanes: lanes})
		if err != nil {
			b.Fatal(err)
		}
		router.Handle("bench", topic, sub)
		if err := router.Start(context.Background()); err != nil {
			b.Fatal(err)
		}
		select {
		case <-c.done:
		case <-time.After(time.Minute):
			b.Fatalf("%d records are left after a minute", c.left.Load())
		}
		if err := router.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
