package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/safebox/safebox/storage"
)

// troubles answers what the database could not do. The details are the log's.
type troubles struct {
	logger *slog.Logger
	sparing
}

// answer says to the client whether to come again, and to the log what went wrong.
func (t *troubles) answer(ctx context.Context, err error, what, again string) *problem {
	if ctx.Err() != nil {
		// The client went away: nobody reads this.
		return plain(http.StatusServiceUnavailable, "the request was given up")
	}
	if transient(err) {
		if n, say := t.may(time.Now()); say {
			t.logger.Warn("http: "+what+" failed, clients are told to come again", "error", err, "unlogged", n)
		}
		return named(http.StatusServiceUnavailable, "try-again", "Try again", again).retryAfter(time.Second)
	}
	t.logger.Error("http: "+what+" failed", "error", err)
	return internal()
}

// transient tells whether the same may succeed later.
func transient(err error) bool {
	var t interface{ Transient() bool }
	if errors.As(err, &t) {
		return t.Transient()
	}
	for _, passing := range []error{
		storage.ErrUnreachable, storage.ErrNotInitialised, context.DeadlineExceeded, context.Canceled,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}
