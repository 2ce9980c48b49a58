package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/jackc/pgx/v5/pgxpool"
)

// watermillBatch is how many messages watermill-sql takes in one transaction: as many as the engine.
const watermillBatch = 500

// watermillSQL processes in the subscriber's own transaction: exactly once, in order.
var watermillSQL = peer{"watermill-sql", loadWatermill, runWatermill}

const watermillTopic = "bench"

func watermillSubscriber(pool *pgxpool.Pool) (*wsql.Subscriber, error) {
	return wsql.NewSubscriber(wsql.BeginnerFromPgx(pool), wsql.SubscriberConfig{
		ConsumerGroup: "bench", PollInterval: 5 * time.Millisecond,
		SchemaAdapter:  wsql.DefaultPostgreSQLSchema{SubscribeBatchSize: watermillBatch},
		OffsetsAdapter: wsql.DefaultPostgreSQLOffsetsAdapter{},
	}, watermill.NopLogger{})
}

func loadWatermill(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	s, err := watermillSubscriber(pool)
	if err != nil {
		return err
	}
	if err := errors.Join(s.SubscribeInitialize(watermillTopic), s.Close()); err != nil {
		return err
	}
	_, err = pool.Exec(ctx, `
		INSERT INTO watermill_bench (uuid, payload, metadata, transaction_id)
		SELECT gen_random_uuid(),
			json_build_object('p', partition, 'pos', position, 'typ', type, 'subj', subject, 'd', data, 'happened', time), '{}', pg_current_xact_id()
		FROM bench_queue ORDER BY n`)
	return err
}

func runWatermill(ctx context.Context, url string, n int) (took time.Duration, err error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	s, err := watermillSubscriber(pool)
	if err != nil {
		return 0, err
	}
	subscribed, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now()
	messages, err := s.Subscribe(subscribed, watermillTopic)
	if err != nil {
		return 0, errors.Join(err, s.Close())
	}
	for range n {
		select {
		case m, open := <-messages:
			if !open {
				return 0, errors.New("the subscription ended early")
			}
			tx, ok := wsql.TxFromContext(m.Context()) //nolint:contextcheck // the subscriber puts it into the message
			if !ok {
				return 0, errors.New("the message came without its transaction")
			}
			var j eventJob
			if err := json.Unmarshal(m.Payload, &j); err != nil {
				return 0, err
			}
			if _, err := tx.ExecContext(ctx, applyStatement, j.args()...); err != nil {
				return 0, fmt.Errorf("applying an event: %w", err)
			}
			m.Ack()
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	took = time.Since(began)
	return took, s.Close() // it commits the last batch
}
