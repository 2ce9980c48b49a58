package sqlite

import (
	"embed"

	"github.com/safebox/safebox/storage"
)

//go:embed queries/*.sql
var files embed.FS

// queries are the statements of this backend by name.
var queries = storage.MustLoad(files)

// The names of what no queries/*.sql holds.
const (
	stmtBegin    = "begin"
	stmtCommit   = "commit"
	stmtRollback = "rollback"
	stmtOpen     = "open"
)

// statementNames are the values of the metric label.
func statementNames() []string {
	return append(queries.Names(), stmtBegin, stmtCommit, stmtRollback, stmtOpen)
}
