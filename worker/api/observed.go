package api

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// observed wraps the whole surface: headers that every answer has, a log line a request at debug, and a handler that
// panics answers 500 and leaves the process alone.
func observed(logger *slog.Logger, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		rec := &recorder{ResponseWriter: w}
		defer finish(logger, rec, r, time.Now())
		h.ServeHTTP(rec, r)
	})
}

// finish ends a request: it must be deferred itself, for recover to work.
func finish(logger *slog.Logger, w *recorder, r *http.Request, start time.Time) {
	ctx := r.Context()
	if v := recover(); v != nil {
		if err, is := v.(error); is && errors.Is(err, http.ErrAbortHandler) {
			panic(v)
		}
		logger.ErrorContext(ctx, "http: a handler panicked; this is a bug", "method", r.Method, "path", r.URL.Path,
			"panic", v, "stack", string(debug.Stack()))
		if w.status == 0 {
			internal().write(w)
		}
	}
	if logger.Enabled(ctx, slog.LevelDebug) {
		logger.DebugContext(ctx, "http: request", "method", r.Method, "path", r.URL.Path, "status", w.status,
			"bytes", w.bytes, "took", time.Since(start), "from", r.RemoteAddr)
	}
}

func internal() *problem {
	return plain(http.StatusInternalServerError, "the server failed; its log says why")
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
