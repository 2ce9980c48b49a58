package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

const (
	// tailPage is how many events of a partition are read, printed and passed at once.
	tailPage = 100
	// tailPoll is the longest time between two looks at a log that is followed.
	tailPoll = 250 * time.Millisecond
)

func (a *app) eventTail() *cobra.Command {
	var o tailOptions
	c := a.printing(&cobra.Command{
		Use: "tail", Short: "Print the events of the log",
		Long: "tail prints the events of the log with their secrets masked, and ends at what was the log's end when it began; with\n" +
			"--follow it goes on as events come. Events of one partition are printed in the order of the log; without --group, those\n" +
			"of different partitions come in the order in which they were recorded, as far as they are there.\n\n" +
			"--from says where to begin: start, end, a position (that of every partition, which is printed next) or a time, as\n" +
			"2026-11-23T12:00:00Z. With --group the progress is kept in the database under that name: the next tail of the group goes\n" +
			"on where this one stopped, and --from is only for a group that is new. The group passes each event exactly once, after\n" +
			"it is printed: so each is printed at least once, and again if tail ends between the two, or two tails share a group.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return a.query(cmd.Context(), "tail", func(ctx context.Context, db storage.DB) error {
				return a.tail(ctx, db, o)
			})
		},
	})
	c.Flags().Lookup("json").Usage = "print one JSON document a line"
	c.Flags().StringVar(&o.group, "group", "", "keep the progress in the database, under this name")
	c.Flags().StringVar(&o.from, "from", "", "start, end, a position or a time (default start)")
	c.Flags().BoolVar(&o.follow, "follow", false, "go on as events come, until interrupted")
	return c
}

type tailOptions struct {
	group, from string
	follow      bool
	position    int64
	since       time.Time
}

// check reads --from.
func (o *tailOptions) check() (err error) {
	if o.group == ledgerGroup {
		return &usageError{fmt.Errorf("the group %q keeps the ledger: what it passes is never applied; choose another name", o.group)}
	}
	switch o.from {
	case "", "start", "end":
		return nil
	}
	if o.position, err = strconv.ParseInt(o.from, 10, 64); err == nil && o.position > 0 {
		return nil
	}
	if o.since, err = time.Parse(time.RFC3339, o.from); err == nil {
		return nil
	}
	return &usageError{fmt.Errorf("--from %q is neither start, nor end, nor a position from 1, nor a time such as 2026-11-23T12:00:00Z", o.from)}
}

// beginning is the position in each partition after which to begin.
func (o *tailOptions) beginning(ctx context.Context, db storage.DB, heads event.Positions) (after event.Positions, err error) {
	switch {
	case o.from == "end":
		return heads, nil
	case o.position > 0:
		for p := range after {
			after[p] = min(o.position-1, heads[p])
		}
	case !o.since.IsZero():
		for p := range after {
			if after[p], err = before(ctx, db, p, heads[p], o.since); err != nil {
				return after, err
			}
		}
	}
	return after, nil
}

// before is the last position of a partition that was recorded before a time: these times grow, so it is searched by halves.
func before(ctx context.Context, db storage.DB, partition int, head int64, since time.Time) (int64, error) {
	var failed error
	n := sort.Search(int(head), func(i int) bool {
		if failed != nil {
			return true
		}
		at, err := db.RecordedAt(ctx, event.Topic, partition, int64(i)+1)
		failed = err
		return !at.Before(since)
	})
	return int64(n), failed
}

func (a *app) tail(ctx context.Context, db storage.DB, o tailOptions) error {
	heads, err := db.Heads(ctx, event.Topic)
	if err != nil {
		return err
	}
	after, err := o.beginning(ctx, db, heads)
	if err != nil {
		return err
	}
	t := &tail{app: a, db: db, group: o.group, after: after}
	if o.group != "" {
		if err := t.join(ctx, o.from != ""); err != nil {
			return err
		}
	}
	changes := db.Changes(ctx, event.Topic)
	for {
		switch err := t.print(ctx, heads); {
		case o.follow && ctx.Err() != nil:
			return nil // it was asked to end
		case err != nil || !o.follow:
			return err
		}
		poll := time.NewTimer(tailPoll)
		select {
		case <-ctx.Done():
		case <-changes:
		case <-poll.C:
		}
		poll.Stop()
		if heads, err = db.Heads(ctx, event.Topic); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// tail prints the log.
type tail struct {
	*app
	db    storage.DB
	group string          // "": none
	after event.Positions // what is printed, or passed by the group
}

// join begins a group, or goes on where it is.
func (t *tail) join(ctx context.Context, placed bool) error {
	joined, err := t.db.JoinAt(ctx, event.Topic, t.group, t.after)
	switch {
	case err != nil || joined:
		return err
	case placed:
		return &usageError{fmt.Errorf("the group %q exists and goes on where it stopped: leave --from away, or choose another name", t.group)}
	}
	t.after, err = t.db.Cursors(ctx, event.Topic, t.group)
	return err
}

// print prints what there is up to the heads, the next page of each partition in the order of recording.
func (t *tail) print(ctx context.Context, heads event.Positions) error {
	if t.group != "" {
		return t.pass(ctx, heads)
	}
	var pages [event.Partitions][]event.Record
	for {
		first := -1
		for p := range pages {
			if len(pages[p]) == 0 && t.after[p] < heads[p] {
				page, err := t.db.Read(ctx, event.Topic, p, t.after[p], int(min(tailPage, heads[p]-t.after[p])))
				if err != nil {
					return err
				}
				pages[p] = page
			}
			if len(pages[p]) > 0 && (first < 0 || pages[p][0].RecordedAt.Before(pages[first][0].RecordedAt)) {
				first = p
			}
		}
		if first < 0 {
			return nil
		}
		r := pages[first][0]
		if err := t.line(r); err != nil {
			return err
		}
		pages[first], t.after[first] = pages[first][1:], r.Position
	}
}

// pass prints page by page and lets the group pass each page after it is printed. Nothing is locked while it prints: a
// reader that does not read must not stop anybody.
func (t *tail) pass(ctx context.Context, heads event.Positions) error {
	for p := range heads {
		for t.after[p] < heads[p] {
			page, err := t.db.Read(ctx, event.Topic, p, t.after[p], int(min(tailPage, heads[p]-t.after[p])))
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			for _, r := range page {
				if err := t.line(r); err != nil {
					return err
				}
			}
			if err := t.move(ctx, p, page[len(page)-1].Position); err != nil {
				return err
			}
		}
	}
	return nil
}

// move moves the group's cursor of a partition on from where it was read. Another tail of the group may have moved it
// meanwhile, or be about to: then this one goes on from there.
func (t *tail) move(ctx context.Context, p int, to int64) error {
	for {
		b, err := t.db.Claim(ctx, event.Topic, t.group, []int{p}, 1)
		if errors.Is(err, event.ErrClaimed) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(10 * time.Millisecond):
			}
			if _, err := t.db.Cursors(ctx, event.Topic, t.group, p); err != nil { // it may have been set back, by a server that was restored
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		defer b.Rollback()
		if at := b.Cursors()[p]; at >= to {
			t.after[p] = at
			return nil
		}
		t.after[p] = to
		return b.Commit(ctx, map[int]int64{p: to})
	}
}

// tailLine is an event of the log as tail prints it.
type tailLine struct {
	Partition  int             `json:"partition"`
	Position   int64           `json:"position"`
	RecordedAt time.Time       `json:"recorded_at"`
	Event      json.RawMessage `json:"event"` // secrets masked
}

func (t *tail) line(r event.Record) error {
	redacted := event.EncodeRedacted(r.Event)
	if !t.json {
		var shown struct {
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(redacted, &shown); err != nil {
			return err
		}
		return t.printf("%s  %2d:%-6d  %s  %s  %s %s  %s", terminal.Moment(r.RecordedAt), r.Partition, r.Position,
			terminal.Line(r.Type), terminal.Line(r.Subject), terminal.Line(r.Source), terminal.Line(r.ID), shown.Data)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(tailLine{r.Partition, r.Position, r.RecordedAt, redacted}); err != nil {
		return err
	}
	_, err := t.out.Write(b.Bytes())
	return err
}
