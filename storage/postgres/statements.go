package postgres

import (
	"embed"

	"github.com/safebox/safebox/storage"
)

//go:embed queries/*.sql
var files embed.FS

// queries are the statements of this backend by name.
var queries = storage.MustLoad(files)

// statementNames are the values of the metric label: the named statements, and what the driver says on its own.
func statementNames() []string {
	return append(queries.Names(), stmtBegin, stmtCommit, stmtRollback, stmtSavepoint, stmtCopy, stmtConnect, stmtOther)
}
