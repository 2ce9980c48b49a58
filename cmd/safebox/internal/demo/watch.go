package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/worker/event"
)

// watch follows the log and the cursors.
type watch struct {
	show                *show
	line                *terminal.Progress
	begun, moved        time.Time
	base                int64 // processed before this part of the demo
	appended, processed int64 // since
}

func (w *watch) start(ctx context.Context) error {
	_, processed, err := w.positions(ctx)
	w.base = processed
	return err
}

// look reads where the log and the group are and shows it; idle tells that everything in the log is processed. It fails
// when nothing has moved for too long, or when a replica has died that was not killed.
func (w *watch) look(ctx context.Context) (idle bool, err error) {
	appended, processed, err := w.positions(ctx)
	if err != nil {
		return false, err
	}
	appended, processed = appended-w.base, processed-w.base
	if appended != w.appended || processed != w.processed {
		w.moved = time.Now()
	}
	w.appended, w.processed = appended, processed
	if time.Since(w.moved) > stall {
		return false, fmt.Errorf("nothing has moved for %v: %s appended, %s processed", stall, terminal.Count(appended), terminal.Count(processed))
	}
	w.line.Say(func() string {
		return fmt.Sprintf("  %-11s%s appended · %s processed · %s waiting · %s events/s", "running",
			terminal.Count(appended), terminal.Count(processed), terminal.Count(appended-processed),
			terminal.Count(int64(float64(processed)/time.Since(w.begun).Seconds())))
	})
	return appended == processed, w.show.herd.died(w.show.killed)
}

func (w *watch) positions(ctx context.Context) (appended, processed int64, err error) {
	// The cursors first: a reading that is a moment old must not show more processed than there is.
	cursors, err := w.show.db.Cursors(ctx, event.Topic, w.show.Group)
	if err != nil {
		return 0, 0, err
	}
	heads, err := w.show.db.Heads(ctx, event.Topic)
	if err != nil {
		return 0, 0, err
	}
	for p := range heads {
		appended += heads[p]
		processed += cursors[p]
	}
	return appended, processed, nil
}
