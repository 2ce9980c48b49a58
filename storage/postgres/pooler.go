package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage"
)

// pooled tells whether the pool's connections lead to a pooler: the server itself was given an address of its own.
func pooled(o storage.Options) bool { return o.Direct.String() != o.URL.String() }

// throughPooler makes a configuration that works through a pooler in transaction or session mode. In transaction mode each
// transaction may run on another session of the server, so nothing may be left on one: no prepared statement and no
// setting. A pooler also refuses startup parameters that it does not know; only the application's name is one that all
// of them take.
//
// Descriptions of statements are kept on this side, and each statement goes out with its text and its parameters in one
// message sequence, which ends in a Sync: the pooler hands on the whole sequence, a batch's too, to one session.
func throughPooler(c *pgx.ConnConfig) {
	for name := range sessionParameters() {
		delete(c.RuntimeParams, name)
	}
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	c.StatementCacheCapacity = 0
}
