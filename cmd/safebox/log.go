package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/safebox/safebox/storage"
)

// fields gives every line of the log the name of the process, and one about a failed statement what one would search for: the
// statement's name, the class that the metrics have, and the server's own code.
type fields struct {
	slog.Handler
	instance func() string
	named    bool // the logger has the name already
}

func (h fields) Handle(ctx context.Context, r slog.Record) error {
	named := h.named
	var failed error
	r.Attrs(func(a slog.Attr) bool {
		named = named || a.Key == "instance"
		if err, ok := a.Value.Any().(error); ok && a.Key == "error" {
			failed = err
		}
		return true
	})
	r = r.Clone()
	if !named {
		r.AddAttrs(slog.String("instance", h.instance()))
	}
	var statement *storage.Error
	if errors.As(failed, &statement) {
		r.AddAttrs(slog.String("statement", statement.Statement), slog.String("class", string(statement.Class)))
	}
	var server interface{ SQLState() string }
	if errors.As(failed, &server) {
		r.AddAttrs(slog.String("sqlstate", server.SQLState()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h fields) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		h.named = h.named || a.Key == "instance"
	}
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

func (h fields) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}
