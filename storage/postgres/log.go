package postgres

import (
	"cmp"
	"context"
	"hash/fnv"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

// appendAttempts bounds how often an append is written again after another append, which holds the locks of other
// partitions, took one of its identities in between. The next try finds that identity in the log.
const appendAttempts = 5

// waryAppends is how many appends look first after one had events that the log has: who repeats himself goes on to.
const waryAppends = 100

// Append implements event.Log: two statements in one implicit transaction, sent in one round trip; and once more where the
// log had some of the events. Events are taken for new ones, which spares a look at the log for each of them; where they
// are not, the table's constraint says so, and what comes next looks first.
func (db *DB) Append(ctx context.Context, topic string, events []event.Event) ([]event.Receipt, error) {
	if len(events) == 0 {
		return nil, nil
	}
	return storage.AppendSealed(ctx, db.options.Secrets, topic, events, db.Events, func(unique []event.Event) ([]event.Receipt, error) {
		receipts := make([]event.Receipt, len(unique))
		look := db.wary.Load() > 0
		if look {
			db.wary.Add(-1)
		}
		for attempt := 1; ; {
			columns, err := newAppendColumns(unique, receipts)
			if err != nil || len(columns.ords) == 0 {
				return receipts, err
			}
			err = db.appendOnce(ctx, topic, columns, look, receipts)
			switch {
			case storage.ClassOf(err) == storage.Unique && attempt < appendAttempts:
				attempt++
				look = true
				db.heads.note(topic, "", func(at *event.Positions) { *at = event.Positions{} })
				db.wary.Store(waryAppends)
			case err != nil:
				return nil, err
			}
		}
	})
}

// appendColumns are the columns of an append, an array each, in the order of partitions.
type appendColumns struct {
	touched                             []int32 // the partitions, sorted
	slots, numbers, ords                []int32 // of each event: its partition's place in touched, its own in the partition, and in the call; from 1
	sources, ids, types, subjects, data []string
	times                               []time.Time
	metadata                            []*string
}

// newAppendColumns makes the columns of the events that have no receipt.
func newAppendColumns(events []event.Event, receipts []event.Receipt) (c appendColumns, err error) {
	type place struct{ partition, ord int32 }
	places := make([]place, 0, len(events))
	for i, e := range events {
		if receipts[i].Result == "" {
			places = append(places, place{int32(event.Partition(e.Subject)), int32(i + 1)}) // 0 to 63; bounded by memory
		}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.ord, b.ord)) })
	c.grow(len(places))
	number := int32(0)
	for _, p := range places {
		e := events[p.ord-1]
		data, metadata, err := storage.EncodeRecord(e)
		if err != nil {
			return c, err
		}
		if n := len(c.touched); n == 0 || c.touched[n-1] != p.partition {
			c.touched, number = append(c.touched, p.partition), 0
		}
		number++
		c.slots, c.numbers, c.ords = append(c.slots, int32(len(c.touched))), append(c.numbers, number), append(c.ords, p.ord) // at most 64
		c.sources, c.ids = append(c.sources, e.Source), append(c.ids, e.ID)
		c.types, c.subjects, c.times = append(c.types, e.Type), append(c.subjects, e.Subject), append(c.times, e.Time)
		c.data, c.metadata = append(c.data, data), append(c.metadata, metadata)
	}
	return c, nil
}

func (c *appendColumns) grow(n int) {
	for _, column := range []*[]int32{&c.slots, &c.numbers, &c.ords} {
		*column = make([]int32, 0, n)
	}
	for _, column := range []*[]string{&c.sources, &c.ids, &c.types, &c.subjects, &c.data} {
		*column = make([]string, 0, n)
	}
	c.times, c.metadata = make([]time.Time, 0, n), make([]*string, 0, n)
}

// appendOnce appends the events of the columns and gives them their receipts; or gives receipts to those that the log has,
// and appends none.
func (db *DB) appendOnce(ctx context.Context, topic string, c appendColumns, look bool, receipts []event.Receipt) error {
	var answers []answer
	since := db.heads.of(topic, "", column(c.touched, func(p int32) int { return int(p) }))
	err := db.queryAfter(ctx, call{qAppendLock, []any{lockClass(topic), c.touched}}, call{qAppendEvents, []any{
		topic, c.touched, c.slots, c.numbers, c.ords, c.sources, c.ids, c.types, c.subjects, c.times, c.data, c.metadata, look, since,
	}}, func(rows pgx.Rows) (err error) {
		answers, err = pgx.CollectRows(rows, pgx.RowToStructByPos[answer])
		return err
	})
	if err != nil {
		return err
	}
	if c.receive(answers, receipts) {
		db.wary.Store(waryAppends)
		return nil
	}
	heads := event.HeadsOf(receipts)
	db.heads.note(topic, "", func(at *event.Positions) { at.Advance(heads) })
	return nil
}

// answer is a row of append_events: of an event that the log has or, with an Ord of 0, of a partition that was appended to.
type answer struct {
	Ord       int32
	Result    event.Result
	Partition int
	Position  int64
}

// receive makes receipts of the answers, and tells whether the log had some of the events.
func (c *appendColumns) receive(answers []answer, receipts []event.Receipt) (known bool) {
	var heads event.Positions
	for _, a := range answers {
		if a.Ord == 0 {
			heads[a.Partition] = a.Position
			continue
		}
		known = true
		receipts[a.Ord-1] = event.Receipt{Result: a.Result, Partition: a.Partition, Position: a.Position}
	}
	if known {
		return true
	}
	for i, ord := range c.ords {
		p := int(c.touched[c.slots[i]-1])
		receipts[ord-1] = event.Receipt{Result: event.Appended, Partition: p, Position: heads[p] + int64(c.numbers[i])}
	}
	return false
}

// lockClass is the first key of the advisory locks of a topic's partitions.
func lockClass(topic string) int32 {
	h := fnv.New32a()
	h.Write([]byte("safebox event_log " + topic))
	return int32(h.Sum32()) // the bits count, not the sign
}

// Heads implements event.Log: 64 probes of the primary key.
func (db *DB) Heads(ctx context.Context, topic string) (event.Positions, error) {
	rows, err := db.query(ctx, qHeads, topic)
	if err != nil {
		return event.Positions{}, err
	}
	ps, err := scanPositions(rows)
	return ps, wrap(qHeads.Name, err)
}

// Cursors implements event.Log: a probe of the primary key for each partition. Left to itself the server would read the table
// whole for each, since it has few rows; where someone holds a snapshot, these have many versions.
func (db *DB) Cursors(ctx context.Context, topic, group string, partitions ...int) (ps event.Positions, err error) {
	if len(partitions) == 0 {
		for p := range event.Partitions {
			partitions = append(partitions, p)
		}
	}
	var partition int
	var position, era int64
	eras := map[int]int64{}
	since := db.eras.of(topic, group, partitions)
	err = db.queryAfter(ctx, call{qSettlePlans, nil}, call{qCursors, []any{topic, group, partitions, since}}, func(rows pgx.Rows) error {
		return each(rows, func() { ps[partition], eras[partition] = position, era }, &partition, &position, &era)
	})
	if err == nil {
		db.eras.noteEras(topic, group, eras)
	}
	return ps, err
}

func scanPositions(rows pgx.Rows) (ps event.Positions, err error) {
	var partition int
	var position *int64
	_, err = pgx.ForEachRow(rows, []any{&partition, &position}, func() error {
		if position != nil {
			ps[partition] = *position
		}
		return nil
	})
	return ps, err
}

// Join implements event.Log.
func (db *DB) Join(ctx context.Context, topic, group string) error {
	_, err := db.JoinAt(ctx, topic, group, event.Positions{})
	return err
}

// JoinAt implements event.Log: under a lock, so that of two callers one makes all of the group.
func (db *DB) JoinAt(ctx context.Context, topic, group string, at event.Positions) (bool, error) {
	var joined int64
	err := db.queryAfter(ctx, call{qJoinLock, []any{lockClass(topic)}}, call{qJoinGroup, []any{topic, group, at[:]}}, func(rows pgx.Rows) error {
		rows.Close()
		joined = rows.CommandTag().RowsAffected()
		return rows.Err()
	})
	return joined == event.Partitions, err
}

// Announce implements event.Log: a NOTIFY, outside any append's transaction.
func (db *DB) Announce(ctx context.Context, topic string, heads event.Positions) error {
	return db.exec(ctx, qAnnounce, announcement(topic, heads))
}
