package storage

import "time"

// Dialect is the kind of database.
type Dialect string

// The dialects.
const (
	PostgreSQL Dialect = "postgresql"
	SQLite     Dialect = "sqlite"
)

// URL is a parsed database URL. Printing it never shows the password.
type URL struct {
	Dialect Dialect
	Path    string // SQLite: the file; "" means in memory
}

// Pool is SQLAlchemy's pool policy.
type Pool struct {
	Size        int           // DB_POOL_SIZE: connections kept open
	MaxOverflow int           // DB_MAX_OVERFLOW: further connections under load, closed when handed back
	Recycle     time.Duration // DB_POOL_RECYCLE_SECONDS: a connection is replaced after this long; negative: never
	Timeout     time.Duration // DB_POOL_TIMEOUT_SECONDS: the longest wait for a connection
}

// DefaultPool is the policy that Safebox operators know.
var DefaultPool = Pool{Size: 10, MaxOverflow: 20, Recycle: 1800 * time.Second, Timeout: 30 * time.Second}
