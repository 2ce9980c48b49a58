package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/query"
)

const (
	// watchLeast is the shortest time between two looks at the status.
	watchLeast = 100 * time.Millisecond
	// watchPatience is how long one look may take before the database counts as away.
	watchPatience = 5 * time.Second
)

// watchStatus says the status again and again, until it is interrupted, which is no error. On a terminal it is drawn in place.
// A database that goes away, or is not there yet, is a line of it.
func (a *app) watchStatus(ctx context.Context, every time.Duration) error {
	if every < watchLeast {
		return &usageError{fmt.Errorf("--watch=%s: the time between two looks is at least %s", every, watchLeast)}
	}
	o := a.options("status")
	o.MustExist, o.Logger = true, slog.New(slog.DiscardHandler)
	o.Policy.Timeout = min(o.Policy.Timeout, watchPatience)
	var db storage.DB
	defer func() {
		if db != nil {
			db.Close() //nolint:errcheck // it only read
		}
	}()
	screen := terminal.NewScreen(a.out)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		text, err := a.glance(ctx, o, &db)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := screen.Show(text); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// glance is the status as it is printed once. It opens the database where that is not open yet.
func (a *app) glance(ctx context.Context, o storage.Options, db *storage.DB) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, watchPatience)
	defer cancel()
	s, err := func() (s query.Status, err error) {
		if *db == nil {
			opened, err := storage.Open(ctx, o)
			if err != nil {
				return s, err
			}
			*db = opened
		}
		return query.ReadStatus(ctx, *db, a.statusOptions())
	}()
	if err != nil {
		away := struct {
			Ready bool   `json:"ready"`
			Error string `json:"error"`
		}{Error: strings.TrimSpace(err.Error())}
		return a.captured(away, func() error {
			return a.printf("%s  the database does not answer: %s", terminal.Moment(time.Now()), terminal.Line(away.Error))
		})
	}
	return a.captured(s, func() error { return a.printStatus(s) })
}

// captured is what print would print.
func (a *app) captured(value any, people func() error) (string, error) {
	var b bytes.Buffer
	out := a.out
	a.out = &b
	defer func() { a.out = out }()
	err := a.print(value, people)
	return b.String(), err
}
