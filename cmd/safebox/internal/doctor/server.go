package doctor

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/safebox/safebox/storage"
)

const (
	oldestServer = 140000
	// beside are the connections that a replica may have outside its pool: the one that listens, and the one that leads.
	beside = 2
	// longTransaction is how long a transaction may be open. Vacuum takes away nothing that died since it began, and a
	// migration waits behind its locks.
	longTransaction = 5 * time.Minute
	// slotHolds is how much of the server's log a slot may keep.
	slotHolds = 1 << 30
	// frozenEnd is the age at which the numbers of transactions come round; the server takes no more writes three million
	// before (PostgreSQL's documentation, 24.1.5). From frozenFails on there is little time left.
	frozenEnd, frozenFails = 1 << 31, 1_500_000_000
	// clockMay is how far the clocks may be apart. Lags are corrected for it, but logs and traces are not.
	clockMay = time.Second
)

// Plan is how the database is going to be used.
type Plan struct {
	Pool     int  // the most connections of one replica's pool
	Replicas int  // that live; one at least
	Head     bool // the schema needs no migration

	Patience time.Duration // how long a transaction may be open; 0: 5 minutes
	SlotHold int64         // how much of the server's log a slot may keep, in bytes; 0: 1 GiB
}

// Server judges a PostgreSQL server.
func Server(v storage.Vitals, p Plan) []Line {
	s := v.PostgreSQL
	p.Patience, p.SlotHold = cmp.Or(p.Patience, longTransaction), cmp.Or(p.SlotHold, slotHolds)
	return []Line{
		version(v), pooler(s), writes(s), durability(s), connections(s, p), timeouts(s), liveness(s), vacuum(s), rights(s, p),
		transactions(s, p), prepared(s, p), slots(s, p), indexes(s),
		Fine("disk", fmt.Sprintf("the database takes %s; how much room is left cannot be asked of a server: watch its disk where it runs", Size(v.Bytes))),
	}
}

func version(v storage.Vitals) Line {
	if v.PostgreSQL.Version < oldestServer {
		return Wrong("version", Failure, Config, v.Server, "upgrade the server: PostgreSQL 14 or newer is needed")
	}
	return Fine("version", v.Server)
}

// pooler is told by the error that looking brings where the address of the server itself leads to one.
func pooler(s storage.ServerVitals) Line {
	if s.Pooled {
		return Fine("pooler", "DATABASE may lead through a pooler; SAFEBOX_DATABASE_DIRECT leads to the server itself")
	}
	return Fine("pooler", "none is in the way: statements run on the session that they are sent to")
}

func writes(s storage.ServerVitals) Line {
	switch {
	case s.Standby:
		return Wrong("writes", Failure, Config, "the server is a standby, which only reads", "name the primary in DATABASE")
	case s.Settings["default_transaction_read_only"] == "on":
		return Wrong("writes", Failure, Config, "transactions only read unless they say otherwise (default_transaction_read_only)",
			"ALTER ROLE or ALTER DATABASE … RESET default_transaction_read_only, wherever it was set")
	}
	return Fine("writes", "the server takes writes")
}

func durability(s storage.ServerVitals) Line {
	var off []string
	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if s.Settings[name] == "off" {
			off = append(off, name)
		}
	}
	if len(off) > 0 {
		return Wrong("durability", Failure, Config,
			fmt.Sprintf("%s off: a crash of the server loses events that were acknowledged, or the whole database", are(off)),
			"turn it on in postgresql.conf, or RESET it where the role or the database sets it")
	}
	return Fine("durability", "fsync and full_page_writes on, synchronous_commit "+s.Settings["synchronous_commit"])
}

func connections(s storage.ServerVitals, p Plan) Line {
	limit := s.Number("max_connections") - s.Number("reserved_connections")
	where := fmt.Sprintf("max_connections %d", s.Number("max_connections"))
	if !s.Superuser {
		limit -= s.Number("superuser_reserved_connections")
	}
	for _, l := range []struct {
		n    int
		what string
	}{{s.RoleLimit, "the role's CONNECTION LIMIT"}, {s.DatabaseLimit, "the database's CONNECTION LIMIT"}} {
		if l.n >= 0 && l.n < limit {
			limit, where = l.n, fmt.Sprintf("%s %d", l.what, l.n)
		}
	}
	each, replicas := p.Pool+beside, max(p.Replicas, 1)
	need := each * replicas
	found := fmt.Sprintf("%d replica%s may open %d each, %d in all; %d may be had (%s), and %d are open now",
		replicas, plural(replicas), each, need, limit, where, s.Connections)
	const do = "raise the limit, or lower DB_POOL_SIZE and DB_MAX_OVERFLOW"
	switch {
	case each > limit:
		return Wrong("connections", Failure, Config, found, do)
	case need > limit:
		return Wrong("connections", Warning, Config, found, do)
	}
	return Fine("connections", found)
}

// timeouts that our own sessions do not set are those of the server, the database or the role.
func timeouts(s storage.ServerVitals) Line {
	var set []string
	for _, name := range []string{"statement_timeout", "transaction_timeout", "idle_session_timeout"} {
		if n := s.Number(name); n > 0 {
			set = append(set, fmt.Sprintf("%s %s", name, time.Duration(n)*time.Millisecond))
		}
	}
	if len(set) > 0 {
		return Wrong("timeouts", Warning, Config,
			strings.Join(set, ", ")+": they cut off long migrations, audits and batches, or connections that the pool keeps",
			"ALTER ROLE … SET them to 0 for the role in DATABASE")
	}
	return Fine("timeouts", "none of the server's own ends a statement, a transaction or an idle session")
}

// liveness is by what a server notices that a replica is gone: its locks are free for another within 10 s.
func liveness(s storage.ServerVitals) Line {
	var missing []string
	for _, name := range []string{"client_connection_check_interval", "idle_in_transaction_session_timeout"} {
		if s.Number(name) == 0 {
			missing = append(missing, name)
		}
	}
	// On a Unix socket there is no network to lose, and the server says 0.
	if k := s.Number("tcp_keepalives_idle"); k > 60 {
		missing = append(missing, "tcp_keepalives_idle")
	}
	if len(missing) > 0 {
		return Wrong("liveness", Warning, Config, strings.Join(missing, ", ")+" did not take effect: a dead replica may hold its locks for long",
			"let what stands between hand these settings of the session on")
	}
	return Fine("liveness", "keepalives and idle timeouts took effect: a replica that is cut off loses its locks within 10 s")
}

func vacuum(s storage.ServerVitals) Line {
	age := fmt.Sprintf("the oldest row was frozen %s of %s transactions ago", millions(s.FrozenAge), millions(frozenEnd))
	const freeze = "run VACUUM in this database, and find what keeps autovacuum from it: an old transaction, a slot, or too few workers"
	switch {
	case s.FrozenAge > frozenFails:
		return Wrong("vacuum", Failure, Unavailable, age+": the server stops taking writes at the end", freeze)
	case s.FrozenAge > 2*int64(s.Number("autovacuum_freeze_max_age")) && s.Number("autovacuum_freeze_max_age") > 0:
		return Wrong("vacuum", Warning, Unavailable, age+", twice autovacuum_freeze_max_age", freeze)
	case s.Settings["autovacuum"] == "off" || s.Settings["track_counts"] == "off":
		return Wrong("vacuum", Warning, Config, "autovacuum or track_counts is off: tables grow without end, and their plans grow old",
			"turn both on in postgresql.conf")
	}
	return Fine("vacuum", "autovacuum is on; "+age)
}

func rights(s storage.ServerVitals, p Plan) Line {
	grant := func(what string) string { return fmt.Sprintf("GRANT the role %s %s", s.Role, what) }
	switch {
	case s.Schema == "":
		return Wrong("rights", Failure, Config, "the role's search_path names no schema that it may use", grant("USAGE and CREATE on the schema"))
	case len(s.Lacking) > 0:
		return Wrong("rights", Failure, Config, "the role lacks "+some(s.Lacking), grant("these, or make it the tables' owner"))
	case !s.MayCreate && !p.Head:
		return Wrong("rights", Failure, Config, "the role may create nothing in the schema "+s.Schema+", and a migration is due",
			"run `safebox init` as the role that migrates, or "+grant("CREATE on it"))
	case !s.MayCreate:
		return Wrong("rights", Warning, Config, "the role may create nothing in the schema "+s.Schema+": the next migration will fail",
			"let another role run `safebox init` then (deploy/README.md, Two roles), or "+grant("CREATE on it"))
	case len(s.NotOwned) > 0:
		return Wrong("rights", Warning, Config, "the role is not the owner of "+some(s.NotOwned)+": a migration that alters them will fail",
			"ALTER TABLE … OWNER TO "+s.Role)
	case s.Superuser:
		return Fine("rights", "the role "+s.Role+" is a superuser, which is more than is needed")
	}
	return Fine("rights", "the role "+s.Role+" has what it needs in the schema "+s.Schema)
}

func transactions(s storage.ServerVitals, p Plan) Line {
	unseen := ""
	if s.Hidden > 0 {
		unseen = fmt.Sprintf("; what %d session%s of other roles do cannot be seen without pg_read_all_stats", s.Hidden, plural(s.Hidden))
	}
	if s.Settings["track_activities"] == "off" {
		return Wrong("transactions", Warning, Config, "track_activities is off: nobody can see who keeps a transaction open", "turn it on")
	}
	if len(s.Transactions) == 0 {
		return Fine("transactions", "none is open beside this one"+unseen)
	}
	oldest := s.Transactions[0]
	found := fmt.Sprintf("the oldest has been open for %s: %s (server process %d), %s%s", oldest.Open().Round(time.Second), orUnnamed(oldest.Name), oldest.PID, oldest.State, unseen)
	if oldest.Open() > p.Patience {
		return Wrong("transactions", Warning, Data, found,
			fmt.Sprintf("end what it does, or SELECT pg_terminate_backend(%d): tables grow while it is open, and migrations wait behind its locks", oldest.PID))
	}
	return Fine("transactions", found)
}

func prepared(s storage.ServerVitals, p Plan) Line {
	if len(s.Prepared) == 0 {
		return Fine("prepared transactions", "none")
	}
	oldest := s.Prepared[0]
	found := fmt.Sprintf("the oldest, %s, has been prepared for %s", oldest.Name, oldest.Open().Round(time.Second))
	if oldest.Open() > p.Patience {
		return Wrong("prepared transactions", Warning, Data, found, fmt.Sprintf("COMMIT PREPARED or ROLLBACK PREPARED '%s': it holds its locks even over a restart", oldest.Name))
	}
	return Fine("prepared transactions", found)
}

func slots(s storage.ServerVitals, p Plan) Line {
	if len(s.Slots) == 0 {
		return Fine("replication slots", "none")
	}
	worst := s.Slots[0]
	found := fmt.Sprintf("%d; %s keeps %s of the server's log", len(s.Slots), worst.Name, Size(worst.Held))
	if worst.Held > p.SlotHold {
		if !worst.Active {
			found += ", and nobody reads it"
		}
		return Wrong("replication slots", Warning, Unavailable, found, fmt.Sprintf("let its reader catch up, or SELECT pg_drop_replication_slot('%s'): the log fills the disk", worst.Name))
	}
	return Fine("replication slots", found)
}

func indexes(s storage.ServerVitals) Line {
	if len(s.Invalid) > 0 {
		return Wrong("indexes", Warning, Data, "not valid, so that no query uses them and nothing is kept unique by them: "+some(s.Invalid),
			"DROP INDEX those that are not ours; the next `safebox init` builds those of the guards again")
	}
	return Fine("indexes", "all are valid")
}

// Clock judges how far the database's clock is from this machine's, as far as that is known.
func Clock(offset, within time.Duration) Line {
	found := fmt.Sprintf("the database's clock is %s from this machine's, known to within %s", offset.Round(time.Millisecond), within.Round(time.Microsecond))
	if offset.Abs() > within+clockMay {
		return Wrong("clock", Warning, Config, found, "let both follow the same time server; lags are corrected for it, times in logs are not")
	}
	return Fine("clock", found)
}
