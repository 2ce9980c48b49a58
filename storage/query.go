package storage

import (
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"
)

// A Query is a statement with the name it has in metrics, logs and errors.
type Query struct {
	Name string
	SQL  string
}

// Queries are the statements of a backend by name.
type Queries map[string]Query

// MustLoad reads every *.sql file in the folder queries of files. A statement follows a line "-- name: its_name" and
// ends before the next such line. It panics on a malformed or repeated name: that is a bug of the build.
func MustLoad(files fs.FS) Queries {
	qs := Queries{}
	names, err := fs.Glob(files, "queries/*.sql")
	if err != nil || len(names) == 0 {
		panic(fmt.Sprintf("storage: no queries/*.sql: %v", err))
	}
	for _, file := range names {
		b, err := fs.ReadFile(files, file)
		if err != nil {
			panic(err)
		}
		qs.parse(path.Base(file), string(b))
	}
	return qs
}

// marker begins the line that names a statement.
const marker = "-- name: "

func (qs Queries) parse(file, text string) {
	var bare strings.Builder // of the other comments
	bare.Grow(len(text) + 1)
	bare.WriteByte('\n')
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, marker) || !strings.HasPrefix(line, "--") {
			bare.WriteString(line)
		}
	}
	for i, part := range strings.Split(bare.String(), "\n"+marker) {
		if i == 0 {
			continue // what stands before the first name
		}
		name, body, _ := strings.Cut(part, "\n")
		name = strings.TrimSpace(name)
		if _, twice := qs[name]; twice || name == "" {
			panic(fmt.Sprintf("storage: %s: statement name %q is empty or repeated", file, name))
		}
		sql := strings.TrimRight(strings.TrimSpace(body), ";")
		if sql == "" {
			panic(fmt.Sprintf("storage: %s: statement %s is empty", file, name))
		}
		qs[name] = Query{name, sql}
	}
}

// Get returns the named statement; it panics when there is none: a backend gets all of its statements when it starts.
func (qs Queries) Get(name string) Query {
	q, ok := qs[name]
	if !ok {
		panic("storage: no statement named " + name)
	}
	return q
}

// Names lists the names in order.
func (qs Queries) Names() []string {
	names := make([]string, 0, len(qs))
	for n := range qs {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
