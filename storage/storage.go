package storage

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sort"
	"strings"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// DB is the one handle of a process on its database. All of it is safe for concurrent use.
type DB interface {
	event.Log
	Reader
	Membership

	// Dialect is postgresql or sqlite.
	Dialect() Dialect
	// Ping asks the database for an answer.
	Ping(ctx context.Context) error
	// ClockOffset is how far the database's clock is ahead of this machine's, negative where it is behind, and by how much
	// that may be wrong: half of the round trip it took to learn it. SQLite has no clock of its own: 0 and 0.
	ClockOffset(ctx context.Context) (offset, within time.Duration, err error)
	// Vitals asks the database how it fares. It creates and changes nothing, and needs none of our tables.
	Vitals(ctx context.Context) (Vitals, error)
	// Pool tells the state of the pool now.
	Pool() PoolStats
	// Marker reads the ready marker; it creates nothing.
	Marker() initlock.Marker
	// AlembicVersion reads the rows of alembic_version, sorted: one statement, without the lock. It is nil where that table
	// is not there or empty.
	AlembicVersion(ctx context.Context) ([]string, error)
	// Election tells who holds the initialisation lock now and who waits for it. It reads no table.
	Election(ctx context.Context) (Election, error)
	// Initialise runs the initialisation protocol; work gets the one connection that holds the lock. On PostgreSQL work
	// must not let that connection sit idle in a transaction for 8 s, since whoever is silent so long loses the lock.
	Initialise(ctx context.Context, o initlock.Options, work func(context.Context, *sql.DB) error) (initlock.Result, error)
	// Inspect gives a connection for reading the catalogue without the lock: what reads it must write nothing.
	Inspect(ctx context.Context, read func(context.Context, *sql.DB) error) error
	// CheckBackup refuses what Backup would refuse before it writes anything: a file that is there already, a folder that
	// cannot be written, a missing or too old pg_dump. The error is then ErrConfig.
	CheckBackup(ctx context.Context, path string) error
	// Backup writes the whole database as it is at one moment to a new file, for its owner only, while others go on
	// writing: on PostgreSQL in pg_dump's custom format, on SQLite as a database. The file has its name only when it is
	// whole and on disk, and then its checksum is beside it. progress is told how far it is, about once a second; nil: nobody
	// is. Errors beside those of CheckBackup are a *BackupError.
	Backup(ctx context.Context, path string, progress func(activity string)) (BackupInfo, error)
	// Restore fills this database, which must be empty, from a backup that ReadBackup gave, under the initialisation lock,
	// so that nobody prepares it meanwhile: all of it or nothing. A database with tables is a *NotEmptyError, a lock that
	// another holds initlock.ErrLocked, a backup of another dialect or a missing pg_restore ErrConfig; everything else a
	// *RestoreError.
	Restore(ctx context.Context, b BackupInfo, progress func(activity string)) error
	// NoteBackup records that a backup was taken, and NoteVerified that the one with this checksum was found good; false
	// where this database has no record of that one.
	NoteBackup(ctx context.Context, b BackupInfo) error
	NoteVerified(ctx context.Context, sha256 string) (bool, error)
	// LastBackup tells when the last backup was taken, and when one was last found good; zero where none was. It creates
	// nothing.
	LastBackup(ctx context.Context) (taken, verified time.Time, err error)
	// Close gives everything back. Batches that are still open are rolled back.
	Close() error
}

// Reader answers questions about the wallets and the log. Nothing here writes.
type Reader interface {
	// Wallet finds a wallet by npub, handle or custom handle, in this order; event.ErrNotFound if there is none.
	Wallet(ctx context.Context, key string) (ledger.Wallet, error)
	// Wallets lists wallets by npub, starting after the given one ("" for the first); at most limit.
	Wallets(ctx context.Context, after string, limit int) ([]ledger.Wallet, error)
	// Entries lists the journal of a subject by log order of seq, after the given seq (0 for all); at most limit.
	// Entries without a seq (the subject was no wallet then) come first and only when afterSeq is 0; -1 lists all others.
	Entries(ctx context.Context, subject string, afterSeq int64, limit int) ([]ledger.Entry, error)
	// Events finds events of the topic by id, and by source unless that is empty.
	Events(ctx context.Context, topic, source, id string) ([]event.Record, error)
	// Read reads the events of a partition after a position, in order; at most limit.
	Read(ctx context.Context, topic string, partition int, after int64, limit int) ([]event.Record, error)
	// RecordedAt is when the event at a place in the log was recorded; event.ErrNotFound if there is none. Inside a partition
	// these times grow.
	RecordedAt(ctx context.Context, topic string, partition int, position int64) (time.Time, error)
	// EntriesAt lists the entries that the event at a place in the log made, by leg.
	EntriesAt(ctx context.Context, partition int, position int64) ([]ledger.Entry, error)
	// Parked lists the parked events of a group by partition and position, after the given place; subject "" means all; at
	// most limit.
	Parked(ctx context.Context, topic, group, subject string, after event.Place, limit int) ([]event.Parked, error)
	// ParkedAt finds the parked event at a place in the log; event.ErrNotFound if none is parked there.
	ParkedAt(ctx context.Context, topic, group string, partition int, position int64) (event.Parked, error)
	// ParkedSubjects lists the subjects that have parked events by partition and subject, after the given one (the zero
	// value for the first); at most limit. Each was there when its page was read.
	ParkedSubjects(ctx context.Context, topic, group string, after event.ParkedSubject, limit int) ([]event.ParkedSubject, error)
	// ParkedActions lists what operators did about parked events, the last first; subject "" means all; at most limit.
	ParkedActions(ctx context.Context, topic, group, subject string, limit int) ([]event.ParkedAction, error)
	// ParkedCount counts the parked events of a group and the subjects they block.
	ParkedCount(ctx context.Context, topic, group string) (events, subjects int64, err error)
	// OldestPending is when the oldest event after the group's cursors was recorded; zero if there is none.
	OldestPending(ctx context.Context, topic, group string) (time.Time, error)
	// Audit proves the ledger's invariants, in one snapshot, or lists what breaks them.
	Audit(ctx context.Context, topic, group string) (ledger.Audit, error)
	// Rebuild is an audit that folds the log again, from nothing, and compares what comes of it with what is stored:
	// ledger.Audit.Rebuild says what that proves. All of it reads one snapshot. progress is told how many events are folded.
	Rebuild(ctx context.Context, topic, group string, progress func(events int64)) (ledger.Audit, error)
}

// Replica is the heartbeat of one worker process.
type Replica struct {
	Instance string    `json:"instance"`
	Version  string    `json:"version"`
	Since    time.Time `json:"since"`
	SeenAt   time.Time `json:"seen_at"`
	Lanes    int       `json:"lanes"`
	State    string    `json:"state"` // starting, ready, draining
	Leader   bool      `json:"leader"`
}

// Membership keeps the heartbeat rows of the replicas. Times are the database's.
type Membership interface {
	// Beat writes the replica's row. Since and SeenAt are set by the database.
	Beat(ctx context.Context, r Replica) error
	// Leave removes it.
	Leave(ctx context.Context, instance string) error
	// Replicas lists the rows seen within the given age, and removes none.
	Replicas(ctx context.Context, within time.Duration) ([]Replica, error)
	// Connections tells by instance how many connections each worker has to the database now, and how many of them are at
	// work, as the server sees it; nil where that cannot be known: a SQLite file does not know who has it open.
	Connections(ctx context.Context) (map[string]Connections, error)
}

// Connections are those of one process to the database.
type Connections struct {
	Open int `json:"open"`
	Busy int `json:"busy"` // in a statement or a transaction
}

// Election is the initialisation lock at one moment.
type Election struct {
	Held   bool
	Holder initlock.Holder // zero unless Held
	// Waiters names the instances that have waited for more than five seconds, sorted; nil where that cannot be known.
	Waiters []string
}

// PoolStats is the state of the connection pool at one moment.
type PoolStats struct {
	Idle, InUse, Max int
	Acquires         int64         // successful ones
	EmptyAcquires    int64         // that had to wait for a connection
	EmptyWait        time.Duration // what those waited in all
	Timeouts         int64
	Opened           int64
	Closed           map[string]int64 // by reason: recycle, overflow, idle, broken, shutdown
}

// Observer is told what happens in the storage; it must be fast and safe for concurrent use.
type Observer interface {
	// Statement is told of each statement that ended; class is "" when it succeeded. The context, which may have ended, is
	// the statement's: it may say which trace it belongs to.
	Statement(ctx context.Context, name string, took time.Duration, class Class)
	// Acquire is told how long a caller waited for a connection.
	Acquire(took time.Duration, timedOut bool)
}

// Options say which database to open and how.
type Options struct {
	URL    URL
	Direct URL  // the server itself, where URL is a pooler; zero: URL
	Policy Pool // zero: DefaultPool
	// Role and Instance name the process to the server: application_name is safebox/<role>/<instance>.
	Role, Instance string
	// MustExist refuses to create a SQLite file that is not there: for commands that only read.
	MustExist bool
	// Secrets are the keys that seal the secrets of events, and open them; nil: events with secrets are refused.
	Secrets  *event.Keyring
	Observer Observer     // nil: none
	Spans    bool         // tell OpenTelemetry of statements, inside spans that are recorded
	Logger   *slog.Logger // nil: slog.Default
}

// Opener opens a database of one dialect; each backend registers its own.
type Opener func(context.Context, Options) (DB, error)

var backends = map[Dialect]backend{}

type backend struct {
	open       Opener
	statements []string
}

// Register makes a backend known to Open, with the names of its statements; a backend calls it from init.
func Register(d Dialect, open Opener, statements []string) {
	backends[d] = backend{open, statements}
}

// Open opens the database that the options name. It fails within the pool's timeout when no server answers: the error
// is then ErrUnreachable. It creates a missing SQLite file, unless MustExist is set, but no table.
func Open(ctx context.Context, o Options) (DB, error) {
	b, ok := backends[o.URL.Dialect]
	if !ok {
		var known []string
		for d := range backends {
			known = append(known, string(d))
		}
		sort.Strings(known)
		return nil, fmt.Errorf("no storage backend for %q is built in (there are: %s)", o.URL.Dialect, strings.Join(known, ", "))
	}
	return b.open(ctx, o.WithDefaults())
}

// WithDefaults fills in what is zero.
func (o Options) WithDefaults() Options {
	if o.Policy == (Pool{}) {
		o.Policy = DefaultPool
	}
	if o.Direct.Dialect == "" {
		o.Direct = o.URL
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	return o
}

// Statements lists the names of a dialect's statements: the values of the metric label.
func Statements(d Dialect) []string { return backends[d].statements }

type nobody struct{}

func (nobody) Statement(context.Context, string, time.Duration, Class) {}
func (nobody) Acquire(time.Duration, bool)                             {}
