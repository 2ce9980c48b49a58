package postgres

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/safebox/safebox/storage"
)

// The names of statements that stand in no queries/*.sql.
const (
	stmtBegin     = "begin"
	stmtCommit    = "commit"
	stmtRollback  = "rollback"
	stmtSavepoint = "savepoint"
	stmtCopy      = "copy"
	stmtConnect   = "connect"
	stmtOther     = "other"
)

// tracer tells the observer of every statement, by name.
type tracer struct {
	names    map[string]string // SQL to name
	observer storage.Observer
	waiting  atomic.Int64 // callers that wait for a connection at this moment
	released func(*pgx.Conn)
}

func newTracer(o storage.Observer) *tracer {
	t := &tracer{names: make(map[string]string, len(queries)), observer: o}
	for _, q := range queries {
		t.names[q.SQL] = q.Name
	}
	t.names["-- ping"] = "ping"
	return t
}

// name is the name of a statement, "other" when it has none.
func (t *tracer) name(sql string) string {
	if name, ok := t.names[sql]; ok {
		return name
	}
	word := sql
	if i := strings.IndexByte(word, ' '); i > 0 {
		word = word[:i]
	}
	switch strings.ToLower(word) {
	case "begin":
		return stmtBegin
	case "commit":
		return stmtCommit
	case "rollback":
		return stmtRollback
	case "savepoint", "release":
		return stmtSavepoint
	}
	return stmtOther
}

// ended tells the observer.
func (t *tracer) ended(ctx context.Context, name string, since time.Time, err error) {
	var class storage.Class
	switch {
	case err == nil || errors.Is(err, pgx.ErrNoRows):
	case overtaken(name, err):
		class = storage.Serialization
	default:
		class = classOf(err)
	}
	t.observer.Statement(ctx, name, time.Since(since), class)
}

type spanKey struct{}

// span is a statement, or a batch of them, under way.
type span struct {
	name  string
	began time.Time
}

// TraceQueryStart notes the beginning of a statement.
func (t *tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, spanKey{}, &span{t.name(data.SQL), time.Now()})
}

// TraceQueryEnd tells of its end, which for a query is when its rows have been read.
func (t *tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if s, ok := ctx.Value(spanKey{}).(*span); ok {
		t.ended(ctx, s.name, s.began, data.Err)
	}
}

// TraceBatchStart notes the beginning of a batch.
func (t *tracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return context.WithValue(ctx, spanKey{}, &span{began: time.Now()})
}

// TraceBatchQuery tells of one statement of a batch: its time is what passed since the result before it.
func (t *tracer) TraceBatchQuery(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	if s, ok := ctx.Value(spanKey{}).(*span); ok {
		t.ended(ctx, t.name(data.SQL), s.began, data.Err)
		s.began = time.Now()
	}
}

// TraceConnectStart notes the beginning of an attempt to connect.
func (t *tracer) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return context.WithValue(ctx, spanKey{}, &span{stmtConnect, time.Now()})
}

// TraceConnectEnd tells of its end: a server that is away, or that has no connection left to give, shows here alone.
func (t *tracer) TraceConnectEnd(ctx context.Context, data pgx.TraceConnectEndData) {
	s, ok := ctx.Value(spanKey{}).(*span)
	if !ok {
		return
	}
	var class storage.Class
	switch {
	case errors.Is(data.Err, context.Canceled): // nobody wants it any more
		class = storage.Canceled
	case data.Err != nil:
		class = connectClass(data.Err)
	}
	t.observer.Statement(ctx, s.name, time.Since(s.began), class)
}

// TraceRelease hands a connection that comes back to whoever decides whether the pool keeps it.
func (t *tracer) TraceRelease(_ *pgxpool.Pool, data pgxpool.TraceReleaseData) {
	if t.released != nil {
		t.released(data.Conn)
	}
}

// TraceBatchEnd does nothing: the statements have been told of.
func (t *tracer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// TraceCopyFromStart notes the beginning of a COPY.
func (t *tracer) TraceCopyFromStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceCopyFromStartData) context.Context {
	return context.WithValue(ctx, spanKey{}, &span{stmtCopy, time.Now()})
}

// TraceCopyFromEnd tells of its end.
func (t *tracer) TraceCopyFromEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceCopyFromEndData) {
	if s, ok := ctx.Value(spanKey{}).(*span); ok {
		t.ended(ctx, s.name, s.began, data.Err)
	}
}

// TraceAcquireStart counts a caller that wants a connection.
func (t *tracer) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	t.waiting.Add(1)
	return ctx
}

// TraceAcquireEnd counts it out.
func (t *tracer) TraceAcquireEnd(context.Context, *pgxpool.Pool, pgxpool.TraceAcquireEndData) {
	t.waiting.Add(-1)
}
