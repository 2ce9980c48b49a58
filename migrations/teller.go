package migrations

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// tellEvery is how often a revision that takes long is heard of.
const tellEvery = time.Second

// teller says, at most so often, how far a revision is that runs step by step: in the log and to Options.Progress. What
// takes less time than that is not told at all, so that an empty database is ready soon.
type teller struct {
	job *job

	mu   sync.Mutex
	last time.Time
}

// while does a step, and tells which one when it takes long.
func (t *teller) while(ctx context.Context, st step, do func() error) error {
	finished, silent := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(silent)
		timer := time.NewTimer(tellEvery)
		defer timer.Stop()
		select {
		case <-finished:
		case <-timer.C:
			t.tell(ctx, st.task()+": "+st.String())
		}
	}()
	defer func() { close(finished); <-silent }()
	return do()
}

// listen tells what the server says while a statement runs, until the function that it returns is called. Connections that
// pass nothing on are left alone.
func (t *teller) listen(ctx context.Context) (stop func()) {
	hear := func(f func(message string)) bool {
		heard := false
		c, err := t.job.db.Conn(ctx)
		if err != nil {
			return false // the statement that follows says so
		}
		defer func() { _ = c.Close() }() // it goes back; one that is broken says so to the statement that follows
		_ = c.Raw(func(driverConn any) error {
			n, ok := driverConn.(interface{ OnNotice(f func(message string)) })
			if heard = ok; ok {
				n.OnNotice(f)
			}
			return nil
		})
		return heard
	}
	if !hear(func(message string) { t.tell(ctx, message) }) {
		return func() {}
	}
	return func() { hear(nil) }
}

func (t *teller) tell(ctx context.Context, activity string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.last) < tellEvery {
		return
	}
	t.last = time.Now()
	t.job.Logger.InfoContext(ctx, activity)
	t.job.progress(activity)
}

// task is what a step does, to say what waits for a lock.
func (st step) task() string {
	return fmt.Sprintf("%s, step %d of %d", task(st.revision.ID, st.up), st.number, st.of)
}

// String is a step's first words, for people.
func (st step) String() string {
	words := strings.Fields(st.SQL)
	if len(words) > 5 {
		words = append(words[:5:5], "…")
	}
	return strings.Join(words, " ")
}
