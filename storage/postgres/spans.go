package postgres

import (
	"context"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgxpool"
)

// spans tells OpenTelemetry of what runs inside a span that is recorded: the name of each statement, and never its text or
// its values.
type spans struct{ *otelpgx.Tracer }

// withSpans is the tracer beside one that tells OpenTelemetry.
func withSpans(t *tracer) *multitracer.Tracer {
	return multitracer.New(t, spans{otelpgx.NewTracer(
		otelpgx.WithSpanNameFunc(t.name),
		otelpgx.WithDisableSQLStatementInAttributes(), otelpgx.WithDisableConnectionDetailsInAttributes(),
	)})
}

// clean takes the values out of an error, which a span shows.
func clean(err error) error {
	if err == nil {
		return nil
	}
	return sanitize(err)
}

// TraceQueryEnd ends the span of a statement.
func (s spans) TraceQueryEnd(ctx context.Context, c *pgx.Conn, data pgx.TraceQueryEndData) {
	data.Err = clean(data.Err)
	s.Tracer.TraceQueryEnd(ctx, c, data)
}

// TraceBatchQuery tells of a statement of a batch, without its arguments.
func (s spans) TraceBatchQuery(ctx context.Context, c *pgx.Conn, data pgx.TraceBatchQueryData) {
	data.Err, data.Args = clean(data.Err), nil
	s.Tracer.TraceBatchQuery(ctx, c, data)
}

// TraceBatchEnd ends the span of a batch.
func (s spans) TraceBatchEnd(ctx context.Context, c *pgx.Conn, data pgx.TraceBatchEndData) {
	data.Err = clean(data.Err)
	s.Tracer.TraceBatchEnd(ctx, c, data)
}

// TraceCopyFromEnd ends the span of a COPY.
func (s spans) TraceCopyFromEnd(ctx context.Context, c *pgx.Conn, data pgx.TraceCopyFromEndData) {
	data.Err = clean(data.Err)
	s.Tracer.TraceCopyFromEnd(ctx, c, data)
}

// TracePrepareEnd ends the span of a preparation.
func (s spans) TracePrepareEnd(ctx context.Context, c *pgx.Conn, data pgx.TracePrepareEndData) {
	data.Err = clean(data.Err)
	s.Tracer.TracePrepareEnd(ctx, c, data)
}

// TraceConnectEnd ends the span of an attempt to connect.
func (s spans) TraceConnectEnd(ctx context.Context, data pgx.TraceConnectEndData) {
	data.Err = clean(data.Err)
	s.Tracer.TraceConnectEnd(ctx, data)
}

// TraceAcquireEnd ends the span of a wait for a connection.
func (s spans) TraceAcquireEnd(ctx context.Context, p *pgxpool.Pool, data pgxpool.TraceAcquireEndData) {
	data.Err = clean(data.Err)
	s.Tracer.TraceAcquireEnd(ctx, p, data)
}
