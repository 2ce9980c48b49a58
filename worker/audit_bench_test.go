package worker_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/bench"
	"github.com/safebox/safebox/worker/event"
)

// BenchmarkAudit audits 50,000 mixed events of 2,500 wallets, and folds them again.
func BenchmarkAudit(b *testing.B) {
	shape := bench.Shape{Events: 50_000, Wallets: 2_500, Seed: 1}
	for name, url := range map[string]func(testing.TB) string{"postgresql": dbtest.PostgreSQL, "sqlite": dbtest.SQLite} {
		db := storagetest.Ready(b, url(b))
		for page := range slices.Chunk(append(slices.Collect(shape.Opening()), slices.Collect(shape.Activity())...), 10_000) {
			appendAll(b, db, page)
		}
		drain(b, db, 4)
		for what, audit := range map[string]func(context.Context, storage.DB) error{"audit": auditOnly, "rebuild": rebuild} {
			b.Run(name+"/"+what, func(b *testing.B) {
				began := time.Now()
				for range b.N {
					if err := audit(storagetest.Context(b), db); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(shape.Opened()+shape.Events)*float64(b.N)/time.Since(began).Seconds(), "events/s")
			})
		}
	}
}

func auditOnly(ctx context.Context, db storage.DB) error {
	_, err := db.Audit(ctx, event.Topic, worker.Group)
	return err
}

func rebuild(ctx context.Context, db storage.DB) error {
	_, err := db.Rebuild(ctx, event.Topic, worker.Group, func(int64) {})
	return err
}
