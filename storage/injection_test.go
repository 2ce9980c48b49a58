package storage_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// executes are the methods that take SQL, in all the libraries that this project uses.
var executes = []string{"Exec", "ExecContext", "Query", "QueryContext", "QueryRow", "QueryRowContext", "Queue", "Prepare", "PrepareContext", "ExecScript"}

// composed are the calls whose text is put together, and why that is sound.
var composed = map[string]string{
	"postgres/scratch.go":     "the name of a database, quoted by pgx.Identifier",
	"sqlite/connect.go":       "one of the constants above the call",
	"sqlite/write.go":         "a constant, at every call of this method",
	"../worker/bench/cost.go": "one of the constants above the call",
}

// No SQL is built from input: each statement that is executed is a constant, or a Query of queries/*.sql, and nothing but the
// loader of those files makes a Query. Package migrations is left out: its statements are its embedded files', and the names of
// a database's own tables and indexes, quoted.
func TestNoSQLIsBuiltFromInput(t *testing.T) {
	calls := 0
	for _, root := range []string{".", "../worker", "../cmd", "../initlock", "../metrics"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && slices.Contains([]string{"storagetest", "dbtest", "peers", "torture", "testdata"}, d.Name()): // of tests
				return filepath.SkipDir
			case !strings.HasSuffix(path, ".go"), strings.HasSuffix(path, "_test.go"):
				return nil
			}
			n, err := inspectSQL(t, path)
			calls += n
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if calls < 30 {
		t.Errorf("%d statements were found: the search is blind", calls)
	}
}

func inspectSQL(t *testing.T, path string) (calls int, err error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, 0)
	if err != nil {
		return 0, err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if isName(n.Type, "Query") && len(n.Elts) > 0 && path != "query.go" {
				t.Errorf("%s: a Query is made here; its SQL belongs into queries/*.sql", files.Position(n.Pos()))
			}
		case *ast.CallExpr:
			method, ok := n.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains(executes, method.Sel.Name) || isName(method.X, "migrations") { // the package
				return true
			}
			calls++
			if sql := statementOf(n); sql != nil && !constant(sql) && composed[filepath.ToSlash(path)] == "" {
				t.Errorf("%s: the text of this statement is neither constant nor that of a Query", files.Position(n.Pos()))
			}
		}
		return true
	})
	return calls, nil
}

// statementOf is the argument of a call that holds SQL; nil where there is none, as with a statement that was prepared.
func statementOf(call *ast.CallExpr) ast.Expr {
	args := call.Args
	if len(args) > 0 && isName(args[0], "ctx") {
		args = args[1:]
	}
	if len(args) == 0 || call.Ellipsis.IsValid() && len(args) == 1 {
		return nil
	}
	return args[0]
}

func constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Kind == token.STRING
	case *ast.SelectorExpr:
		return e.Sel.Name == "SQL"
	}
	return false
}

func isName(e ast.Expr, name string) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == name
	case *ast.SelectorExpr:
		return e.Sel.Name == name
	}
	return false
}
