package storage

import (
	"strconv"
	"time"
)

// Vitals are what a database tells of its own health. They are facts: who judges them is another.
type Vitals struct {
	Server     string       // with its version: PostgreSQL 15.14, SQLite 3.53.1
	Bytes      int64        // that the database takes on its disk, without PostgreSQL's log
	PostgreSQL ServerVitals // zero on SQLite
	SQLite     FileVitals   // zero on PostgreSQL
}

// ServerVitals are those of a PostgreSQL server and of one database on it. Numbers in Settings are in the server's own units.
type ServerVitals struct {
	Pooled   bool              `json:"-"` // the pool's connections lead to a pooler; all of this was asked of the server itself
	Version  int               `json:"version"`
	Standby  bool              `json:"standby"` // it only reads
	Settings map[string]string `json:"settings"`

	Role          string `json:"role"`
	Superuser     bool   `json:"superuser"`
	RoleLimit     int    `json:"role_limit"`     // connections; -1: none
	DatabaseLimit int    `json:"database_limit"` // the same
	Connections   int    `json:"connections"`    // of everybody, now

	Schema    string   `json:"schema"` // "": none that the role may use
	MayCreate bool     `json:"may_create"`
	Lacking   []string `json:"lacking"` // "UPDATE on event_cursor", for one
	NotOwned  []string `json:"not_owned"`
	Tables    []string `json:"tables"` // those of ours that are there

	Transactions []Transaction `json:"transactions"` // open ones, the oldest first; three at most
	Hidden       int           `json:"hidden"`       // sessions of other roles that this role may not look into
	Prepared     []Transaction `json:"prepared"`     // of two-phase commit
	Slots        []Slot        `json:"slots"`
	Invalid      []string      `json:"invalid"`    // indexes that nobody is building and nobody may use
	FrozenAge    int64         `json:"frozen_age"` // transactions since the oldest row was frozen; 2^31 is the end
}

// Transaction is one that somebody has open.
type Transaction struct {
	Name  string    `json:"name"` // of the application, or of the prepared transaction
	PID   int       `json:"pid"`  // 0: no process
	State string    `json:"state"`
	Since time.Time `json:"since"`
	Age   float64   `json:"age"` // in seconds, by the server's clock
}

// Slot is a replication slot.
type Slot struct {
	Name   string `json:"name"`
	Active bool   `json:"active"`
	Held   int64  `json:"held"` // bytes of the log that the server keeps for it
}

// FileVitals are those of a SQLite file and of the volume that it is on.
type FileVitals struct {
	Path       string
	Log        int64  // bytes of the write-ahead log
	Others     bool   // users beside the owner may read it
	FileSystem string // "": cannot be known
	Network    bool
	Memory     bool  // gone with the machine
	Layer      bool  // gone with the container
	Free       int64 // bytes for this user; -1: cannot be known
	Total      int64
}

// Number is a setting's whole number; 0 where the server does not have it.
func (v ServerVitals) Number(setting string) int {
	n, err := strconv.Atoi(v.Settings[setting])
	if err != nil {
		return 0
	}
	return n
}

// Open is how long it has been, by the server's clock.
func (t Transaction) Open() time.Duration { return time.Duration(t.Age * float64(time.Second)) }
