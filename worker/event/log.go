package event

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Record is an event at its place in the log.
type Record struct {
	Event
	Topic      string
	Partition  int
	Position   int64 // 1, 2, 3 … inside the partition, without holes
	RecordedAt time.Time
}

// Place is where a record stands in its topic.
type Place struct {
	Partition int
	Position  int64
}

// Place returns where the record stands.
func (r Record) Place() Place { return Place{r.Partition, r.Position} }

// Result says what became of one event of an append.
type Result string

// The results of an append.
const (
	Appended  Result = "appended"  // new, and durable now
	Duplicate Result = "duplicate" // the log has it already, with the same content
	Conflict  Result = "conflict"  // the log has its identity with other content; nothing was written
	Refused   Result = "refused"   // it may not be kept as it is; nothing was written
)

// A Receipt answers one event of an append. For a duplicate or a conflict the place is that of the event in the log.
type Receipt struct {
	Result    Result
	Partition int
	Position  int64
	Refusal   *Refusal // why it was refused; else nil
}

// MaxUnparked is the most parked events that are claimed at once.
const MaxUnparked = 500

// Positions holds a position for each partition; 0 stands before the first event.
type Positions [Partitions]int64

// Advance moves each position on to the other's, where that is further on.
func (p *Positions) Advance(other Positions) {
	for i := range p {
		p[i] = max(p[i], other[i])
	}
}

// HeadsOf are the last positions of what an append wrote; 0 where it wrote nothing.
func HeadsOf(receipts []Receipt) (heads Positions) {
	for _, r := range receipts {
		if r.Result == Appended {
			heads[r.Partition] = max(heads[r.Partition], r.Position)
		}
	}
	return heads
}

// News passes positions on to a reader who may be slow: what is put in before the last was taken is merged with that. All zero
// stands for anything that may have happened, and so does what it is merged with.
type News chan Positions

// NewNews makes an empty one.
func NewNews() News { return make(News, 1) }

// Put never waits. It is called by one goroutine at a time.
func (n News) Put(p Positions) {
	select {
	case n <- p:
		return
	case old := <-n:
		if anything := (Positions{}); p == anything || old == anything {
			p = anything
		} else {
			p.Advance(old)
		}
	}
	n <- p
}

// ErrClaimed is returned by Claim when other lanes, here or in other processes, hold all of the partitions.
var ErrClaimed = errors.New("partition is claimed by another lane")

// ErrNotFound is returned by look-ups of one event, wallet or parked event that is not there.
var ErrNotFound = errors.New("not found")

// Log is the event log. Implementations must hold these:
//
//  1. Append is atomic: after an error nothing of it is in the log, unless the connection was lost during the commit, or
//     the call repeats an identity with other content, which takes a second look. To append again is safe in any case,
//     because the identity of an event deduplicates it for ever.
//  2. Positions of a partition are dense, and what is visible in a partition is final.
//  3. A Claim that succeeds excludes every other claim on that partition of that group until Commit or Rollback; the
//     death of the process or of its connection is a Rollback.
//  4. Errors of statements are *storage.Error, so that they carry a class.
type Log interface {
	// Append writes events to the topic and answers each at its index. Events of one call may share an identity. Secrets of
	// the catalogue are kept sealed: an event whose secrets cannot be is refused, and the others are written.
	Append(ctx context.Context, topic string, events []Event) ([]Receipt, error)
	// Heads returns the last position of every partition of the topic; its cost does not grow with the log.
	Heads(ctx context.Context, topic string) (Positions, error)
	// Cursors returns the last position that the group has processed in each of these partitions, or in all where none are
	// named; of others it may be 0.
	Cursors(ctx context.Context, topic, group string, partitions ...int) (Positions, error)
	// Join makes sure that the group has a cursor in every partition of the topic; a new group starts at the beginning.
	Join(ctx context.Context, topic, group string) error
	// JoinAt makes a new group that has processed everything up to these positions. False: the group exists, and nothing
	// was done.
	JoinAt(ctx context.Context, topic, group string, at Positions) (joined bool, err error)
	// Claim takes those of the partitions that no other lane has, for one batch of at most limit events of each after the
	// group's cursor. It does not wait: ErrClaimed says that other lanes have them all. A cursor that a restored server has
	// set back may be taken for one that another lane has, until Cursors was asked for it. The batch may be empty; it must be
	// committed or rolled back all the same.
	Claim(ctx context.Context, topic, group string, partitions []int, limit int) (Batch, error)
	// ClaimParked takes the first MaxUnparked parked events of one subject, in order, as a batch; it waits for a lane that
	// holds their partition. Commit takes them out of the parked ones instead of moving the cursor. ErrNotFound if there are none.
	ClaimParked(ctx context.Context, topic, group, subject string) (Batch, error)
	// Changes returns a channel that receives a value soon after an append by any process became visible: the last
	// positions as far as they were announced, all zero where only that something happened is known. Values coalesce. It may
	// miss appends, so a reader polls as well. The channel closes when ctx ends.
	Changes(ctx context.Context, topic string) <-chan Positions
	// Announce tells the other processes that the topic has events up to these positions; 0 where nothing is new. Best
	// effort, rate-limited by its caller.
	Announce(ctx context.Context, topic string, heads Positions) error
}

// A Batch is claimed records and the transaction in which they are processed: whatever a handler does in it
// commits together with the cursor, or not at all. It is used by one goroutine.
type Batch interface {
	// Records are the events after the cursors, with their secrets sealed: each partition's in order, and all of them in the
	// order of their recording.
	Records() []Record
	// Cursors are the group's positions before this batch, of each partition that is claimed.
	Cursors() map[int]int64
	// Blocked are those subjects of the batch's records that have parked events: their later events must be parked as well.
	Blocked() map[string]bool
	// Park sets a record aside with the error that stopped it. It is written by Commit.
	Park(r Record, cause string, attempts int)
	// Note adds what an operator did to the subject's actions; it is for batches of ClaimParked. It is written by Commit.
	// Number and At are set by the database, Topic, Group and Subject are the batch's.
	Note(a ParkedAction)
	// Commit moves the cursor of each partition in upTo to the position of its last record that was processed or parked, and
	// commits.
	Commit(ctx context.Context, upTo map[int]int64) error
	// Waited is how long Commit waited for rows that other batches had, as far as the database tells.
	Waited() time.Duration
	// Rollback gives the partitions back with nothing done. After Commit it does nothing.
	Rollback()
}

// Merge puts records that come partition by partition, each in order, into the order of their recording, without changing
// that of any partition.
func Merge(records []Record) []Record {
	var runs [][]Record
	for begin, i := 0, 1; i <= len(records); i++ {
		if i == len(records) || records[i].Partition != records[begin].Partition {
			runs, begin = append(runs, records[begin:i]), i
		}
	}
	if len(runs) < 2 {
		return records
	}
	merged := make([]Record, 0, len(records))
	for len(merged) < len(records) {
		first := -1
		for i, run := range runs {
			if len(run) > 0 && (first < 0 || run[0].RecordedAt.Before(runs[first][0].RecordedAt)) {
				first = i
			}
		}
		merged, runs[first] = append(merged, runs[first][0]), runs[first][1:]
	}
	return merged
}

// UpTo is what Commit takes when these records, and those before them, were processed or parked.
func UpTo(records ...Record) map[int]int64 {
	upTo := map[int]int64{}
	for _, r := range records {
		upTo[r.Partition] = max(upTo[r.Partition], r.Position)
	}
	return upTo
}

// Parked is an event that was set aside, with what stopped it.
type Parked struct {
	Topic     string    `json:"topic"`
	Group     string    `json:"group"`
	Partition int       `json:"partition"`
	Position  int64     `json:"position"`
	Source    string    `json:"source"`
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	Subject   string    `json:"subject"`
	Error     string    `json:"error"`
	Attempts  int       `json:"attempts"`
	ParkedAt  time.Time `json:"parked_at"`
}

// ParkedSubject is a subject that has parked events.
type ParkedSubject struct {
	Partition int
	Subject   string
	Events    int64
}

// The actions of operators.
const (
	ActionRetry = "retry"
	ActionSkip  = "skip"
)

// ParkedAction is what an operator did about parked events of a subject: in one transaction with what it did to them.
type ParkedAction struct {
	Topic   string    `json:"topic"`
	Group   string    `json:"group"`
	Subject string    `json:"subject"`
	Number  int       `json:"number"` // 1, 2, 3 … of the subject
	Action  string    `json:"action"` // retry or skip
	Actor   string    `json:"actor"`
	Reason  string    `json:"reason,omitempty"`
	First   int64     `json:"first_position"` // of the parked events it was about, all of them the subject's
	Last    int64     `json:"last_position"`
	Events  int       `json:"events"`          // how many
	Error   string    `json:"error,omitempty"` // what kept the event parked; empty when the events ended
	At      time.Time `json:"at"`
}

// Operator is who retries or skips parked events, and why: it is kept with what was done, for ever.
type Operator struct {
	Actor  string // required
	Reason string // required for a skip
}

// OperatorTextFault says what an operator's name or reason has to be when it is not; "" when it is.
func OperatorTextFault(text string) string {
	const most = 1000
	if len(text) > most || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }) {
		return "one line of text of at most 1,000 bytes"
	}
	return ""
}

// ParkedResult says what became of the parked events of a subject when an operator retried or skipped them.
type ParkedResult struct {
	Subject  string         `json:"subject"`
	Outcomes map[string]int `json:"outcomes"`        // how many ended in which outcome
	Waiting  int            `json:"waiting"`         // still parked; counted up to MaxUnparked
	Error    string         `json:"error,omitempty"` // what stopped the first of those
}
