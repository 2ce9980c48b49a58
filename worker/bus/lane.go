package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/safebox/safebox/worker/event"
)

// passingPause is the longest pause before a record that waits for something in the database, such as another record.
const passingPause = 250 * time.Millisecond

// patientFailures is how often in a row a batch may fail for a reason that may pass before it is made smaller.
const patientFailures = 3

// deliveryTime is how long records of a batch are offered to a consumer without a session, one after the other. Nothing is asked
// of the database meanwhile, which ends a transaction that is idle for long: what was acknowledged is committed before that.
const deliveryTime = time.Second

// BehindParked is the error of an event that is parked only because an earlier one of its subject is.
const BehindParked = "waits behind an earlier parked event of the same subject"

// process claims partitions, delivers a batch of them and commits. ctx is the hard end.
func (s *subscription) process(ctx context.Context, ps []int, limit int) []report {
	if s.bus.span != nil {
		var end func()
		ctx, end = s.bus.span(ctx, "batch")
		defer end()
	}
	began := time.Now()
	run := &run{subscription: s, partition: ps[0], limit: limit, clock: began, phases: map[string]time.Duration{}}
	defer run.end()
	var reports []report
	if len(ps) > 1 {
		reports = run.together(ctx, ps)
	} else {
		run.trouble = s.board.troubleOf(ps[0])
		rep := run.one(ctx)
		rep.ours = run.batch == nil || len(run.batch.Records()) > 0
		reports = []report{rep}
	}
	if run.batch != nil {
		reports[0].waited = run.batch.Waited()
	}
	reports[0].took = time.Since(began)
	return reports
}

// one processes a batch of one partition.
func (r *run) one(ctx context.Context) report {
	b, err := r.claim(ctx, r.partition)
	switch {
	case errors.Is(err, event.ErrClaimed):
		return report{claimed: true}
	case err != nil:
		return r.failed(ctx, "claim", err, -1, 0)
	}
	defer b.Rollback()
	records := b.Records()
	if len(records) == 0 {
		return report{seen: b.Cursors()[r.partition]}
	}
	if t := r.trouble; t.park && records[0].Position == t.position {
		return r.park(ctx, records[0])
	}
	return r.deliver(ctx, records)
}

func (r *run) claim(ctx context.Context, ps ...int) (event.Batch, error) {
	b, err := r.bus.log.Claim(ctx, r.topic, r.options.Group, ps, r.limit)
	r.phase("claim")
	r.batch = b
	if err == nil {
		r.answered.committed(b.Cursors())
	}
	return b, err
}

// together processes the few records of several partitions in one transaction: all, or none. Where that fails, whatever the
// cause, each of the partitions is processed alone next, and what is to be learned is learned there.
func (r *run) together(ctx context.Context, ps []int) []report {
	reports := make([]report, len(ps))
	b, err := r.claim(ctx, ps...)
	if errors.Is(err, event.ErrClaimed) {
		for i := range reports {
			reports[i] = report{claimed: true}
		}
		return reports
	}
	var upTo map[int]int64
	if err == nil {
		defer b.Rollback()
		upTo, err = r.all(ctx, b.Records())
	}
	if err != nil {
		if ctx.Err() == nil {
			r.bus.observer.Retried(reasonOf(err))
			r.logger.Debug("a batch of this partition and others was rolled back; each is processed alone", "partition", r.partition, "error", err)
		}
		for i := range reports {
			reports[i] = report{seen: -1, alone: true, ours: true}
		}
		return reports
	}
	for i, p := range ps {
		cursor, mine := b.Cursors()[p]
		reports[i] = report{seen: max(cursor, upTo[p]), claimed: !mine, ours: upTo[p] > 0}
	}
	return reports
}

// all delivers records and commits them. It tells up to where in each partition; that is not all where delivery takes long.
func (r *run) all(ctx context.Context, records []event.Record) (upTo map[int]int64, err error) {
	if len(records) == 0 {
		return nil, nil
	}
	if err := r.begin(ctx, records); err != nil {
		return nil, err
	}
	done, _, err := r.feed(ctx, records)
	if err != nil {
		return nil, err
	}
	if err := r.finish(ctx); err != nil {
		return nil, err
	}
	upTo = event.UpTo(records[:done]...)
	if err := r.commit(ctx, upTo); err != nil {
		return nil, err
	}
	r.committed(ctx, records[:done])
	return upTo, nil
}

// run is one attempt at a batch.
type run struct {
	*subscription
	partition int // the first, where there are several
	limit     int // of records of each partition
	trouble   trouble
	batch     event.Batch
	session   Session
	handled   bool // it was given records
	clock     time.Time
	phases    map[string]time.Duration
	outcomes  map[[2]string]int // (type, outcome) → events

	cancel   context.CancelFunc // of the context of the session's message; see offer
	patience *time.Timer        // bounds a handover
}

// end gives back what the run holds beside its batch.
func (r *run) end() {
	if r.cancel != nil {
		r.cancel()
	}
	if r.patience != nil {
		r.patience.Stop()
	}
}

func (r *run) phase(name string) {
	now := time.Now()
	r.phases[name] += now.Sub(r.clock)
	r.clock = now
}

// keptLimit is the limit for the next batch where this one taught nothing.
func (r *run) keptLimit() int {
	if r.limit == r.options.Batch {
		return 0
	}
	return r.limit
}

// begin opens the handler's session for those records that do not wait behind a parked one.
func (r *run) begin(ctx context.Context, records []event.Record) (err error) {
	free := unblocked(records, r.batch.Blocked())
	if r.options.Handler != nil && len(free) > 0 {
		r.session, err = begin(ctx, r.options.Handler, r.batch, free)
	}
	r.phase("load")
	return err
}

// feed hands out records until one is not acknowledged, or it takes too long. It tells how many are done with, delivered and
// acknowledged or parked, and how many of those were delivered.
func (r *run) feed(ctx context.Context, records []event.Record) (done, handled int, stopped error) {
	r.board.handle(r.partition, time.Now())
	r.outcomes = map[[2]string]int{}
	blocked := r.batch.Blocked()
	var d delivery
	var refused error
	if r.session != nil {
		d = delivery{session: r.session, records: unblocked(records, blocked)}
		refused = r.offer(ctx, batchMessage(d.records), &d)
	}
	for _, rec := range records {
		if r.session == nil && done > 0 && time.Since(r.clock) > deliveryTime {
			break
		}
		outcome := "parked"
		switch {
		case blocked[rec.Subject]:
			r.batch.Park(rec, BehindParked, 0)
		case r.session == nil:
			outcome, stopped = "applied", r.once(ctx, rec)
		case handled < len(d.outcomes):
			outcome = d.outcomes[handled]
		default:
			stopped = refused
		}
		if stopped != nil {
			break
		}
		if !blocked[rec.Subject] {
			handled++
		}
		r.outcomes[[2]string{rec.Type, outcome}]++
		done++
	}
	r.handled = handled > 0
	r.board.handle(r.partition, time.Time{})
	r.phase("fold")
	return done, handled, stopped
}

// once offers a record to a consumer that keeps no session, unless it has acknowledged it before.
func (r *run) once(ctx context.Context, rec event.Record) error {
	if r.answered.has(rec) {
		return nil
	}
	if err := r.offer(ctx, toMessage(rec), &delivery{}); err != nil {
		return err
	}
	r.answered.note(rec)
	return nil
}

func (r *run) finish(ctx context.Context) (err error) {
	if r.session != nil && r.handled {
		err = finish(ctx, r.session)
	}
	r.phase("store")
	return err
}

func (r *run) commit(ctx context.Context, upTo map[int]int64) error {
	err := r.batch.Commit(ctx, upTo)
	r.phase("commit")
	return err
}

func (r *run) deliver(ctx context.Context, records []event.Record) report {
	cursor := r.batch.Cursors()[r.partition]
	if err := r.begin(ctx, records); err != nil {
		return r.failed(ctx, "load", err, cursor, len(records))
	}
	done, handled, stopped := r.feed(ctx, records)
	var p *PanicError
	switch {
	case ctx.Err() != nil: // the hard end: nothing of the batch
		return r.kept()
	case done == 0:
		return r.stoppedBy(ctx, records[0], stopped)
	case handled > 0 && errors.As(stopped, &p):
		return r.spoilt(records[done], p, done)
	}
	if err := r.finish(ctx); err != nil {
		return r.failed(ctx, "store", err, cursor, done)
	}
	last := records[done-1]
	if err := r.commit(ctx, event.UpTo(last)); err != nil {
		return r.failed(ctx, "commit", err, cursor, done)
	}
	r.committed(ctx, records[:done])
	if stopped != nil {
		r.trouble = trouble{} // whatever it was, it is behind the cursor now
		rep := r.stoppedBy(ctx, records[done], stopped)
		rep.seen = last.Position
		return rep
	}
	next := 0
	if r.limit < r.options.Batch { // recovering: grow again
		next = min(r.limit*2, r.options.Batch)
	}
	return report{seen: last.Position, limit: next}
}

func unblocked(records []event.Record, blocked map[string]bool) []event.Record {
	if len(blocked) == 0 {
		return records
	}
	var free []event.Record
	for _, rec := range records {
		if !blocked[rec.Subject] {
			free = append(free, rec)
		}
	}
	return free
}

func (r *run) committed(ctx context.Context, records []event.Record) {
	o := r.bus.observer
	now := r.bus.now()
	for _, rec := range records {
		o.Lag(ctx, now.Sub(rec.RecordedAt))
	}
	for k, n := range r.outcomes {
		o.Processed(k[0], k[1], n)
	}
	o.Batch(len(records), r.phases)
}

// stoppedBy says how to go on at the record at which a batch ended early.
func (r *run) stoppedBy(ctx context.Context, rec event.Record, cause error) report {
	if errors.Is(cause, errGivenBack) {
		t := r.trouble
		t.failures++
		// As few records as may be are claimed for a consumer that takes none.
		return report{seen: -1, pause: backoff(t.failures), limit: 1, trouble: t}
	}
	return r.recordFailed(ctx, rec, cause)
}

// spoilt gives up a batch whose session may be in any state after a panic. The n records before the one that panicked are
// processed again, without it.
func (r *run) spoilt(rec event.Record, cause *PanicError, n int) report {
	r.bus.observer.Retried("handler")
	r.logger.Warn("a handler panicked; the batch is rolled back and its events before that one are processed again",
		"partition", rec.Partition, "position", rec.Position, "event", rec.ID, "type", rec.Type, "events", n, "error", cause)
	return report{seen: -1, limit: n, trouble: r.trouble}
}

// kept is the report of a run that taught nothing.
func (r *run) kept() report {
	return report{seen: -1, limit: r.keptLimit(), trouble: r.trouble}
}

// recordFailed counts an attempt at a record that stands alone, or makes it stand alone next time.
func (r *run) recordFailed(ctx context.Context, rec event.Record, cause error) report {
	if ctx.Err() != nil {
		return r.kept()
	}
	t := r.trouble
	if t.position != rec.Position {
		t = trouble{position: rec.Position}
	}
	t.failures++
	t.cause = storable(cause)
	r.bus.observer.Retried(reasonOf(cause))
	if passing(cause) {
		return report{seen: -1, pause: min(backoff(t.failures), passingPause), limit: r.keptLimit(), trouble: t}
	}
	t.attempts++
	t.park = r.options.MaxAttempts > 0 && t.attempts >= r.options.MaxAttempts
	pause, next := backoff(t.failures), "an event failed; it is tried again alone"
	if t.park {
		pause, next = 0, "an event failed for the last time; it is parked"
	}
	fields := []any{
		"partition", rec.Partition, "position", rec.Position, "event", rec.ID, "type", rec.Type,
		"attempt", t.attempts, "in", pause, "error", cause,
	}
	var p *PanicError
	if errors.As(cause, &p) {
		fields = append(fields, "stack", string(p.Stack))
	}
	r.logger.Warn(next, fields...)
	return report{seen: -1, pause: pause, limit: 1, trouble: t}
}

// failed handles an error of the database: of a whole batch of n records, none of which is known to be the cause.
func (r *run) failed(ctx context.Context, phase string, cause error, cursor int64, n int) report {
	if ctx.Err() != nil {
		return r.kept()
	}
	if passing(cause) || n == 0 {
		t := r.trouble
		t.failures++
		pause, limit := backoff(t.failures), r.keptLimit()
		if t.failures >= patientFailures && n > 1 { // it may fail because it is large: a statement timeout, a full disk
			limit = n / 2
		}
		r.bus.observer.Retried(reasonOf(cause))
		r.logger.Warn("a batch was rolled back; it is tried again", "partition", r.partition, "phase", phase, "events", n, "in", pause, "error", cause)
		return report{seen: -1, pause: pause, limit: limit, trouble: t}
	}
	if n == 1 {
		return r.recordFailed(ctx, r.batch.Records()[0], fmt.Errorf("%s: %w", phase, cause))
	}
	r.bus.observer.Retried(reasonOf(cause))
	r.logger.Info("a batch was rolled back; it is halved", "partition", r.partition, "phase", phase, "after", cursor, "events", n, "error", cause)
	return report{seen: -1, limit: n / 2, trouble: r.trouble}
}

// park sets aside the one record that keeps failing, with nothing else in its transaction.
func (r *run) park(ctx context.Context, rec event.Record) report {
	t := r.trouble
	r.batch.Park(rec, t.cause, t.attempts)
	if err := r.batch.Commit(ctx, event.UpTo(rec)); err != nil {
		if ctx.Err() != nil {
			return r.kept()
		}
		t.failures++
		pause := backoff(t.failures)
		r.bus.observer.Retried(reasonOf(err))
		r.logger.Warn("an event could not be parked; it is tried again", "partition", rec.Partition, "position", rec.Position,
			"event", rec.ID, "type", rec.Type, "in", pause, "error", err)
		return report{seen: -1, pause: pause, limit: 1, trouble: t}
	}
	r.logger.Error("an event was parked; later events of its subject wait behind it until it is retried or skipped",
		"partition", rec.Partition, "position", rec.Position, "event", rec.ID, "type", rec.Type, "subject", rec.Subject,
		"attempts", t.attempts, "error", t.cause)
	r.bus.observer.Processed(rec.Type, "parked", 1)
	return report{seen: rec.Position}
}

// storable is the text of an error without what PostgreSQL takes for no text; a consumer may quote anything.
func storable(err error) string {
	return strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\x00", "\uFFFD"), "\uFFFD")
}

// transient tells whether an error says of itself that the same work may succeed later.
func transient(err error) bool {
	var t interface{ Transient() bool }
	return errors.As(err, &t) && t.Transient()
}

// passing tells whether an event is not to blame for an error: it says so itself, or it is the database's. An event is
// parked for what it is to blame for alone.
func passing(err error) bool {
	var b interface{ Blameless() bool }
	return transient(err) || errors.As(err, &b) && b.Blameless()
}

// reasonOf names an error for a metric: the class it says it has, else handler.
func reasonOf(err error) string {
	var c interface{ Reason() string }
	if errors.As(err, &c) {
		return c.Reason()
	}
	return "handler"
}
