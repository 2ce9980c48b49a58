package migrations

import (
	"regexp"
	"strings"
)

// normalised brings SQL to one spelling: lower case, single spaces, identifiers without quotes, no comments. String
// literals stay as they are.
func normalised(sql string) string {
	var b strings.Builder
	space := false
	put := func(s string) {
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space = false
		b.WriteString(s)
	}
	for i := 0; i < len(sql); {
		end := i + 1
		switch c := sql[i]; {
		case c == '\'':
			end = closing(sql, i, '\'')
			put(sql[i:end])
		case c == '"' || c == '`':
			end = closing(sql, i, c)
			put(lower(strings.Trim(sql[i:end], string(c))))
		case c == '[':
			end = closing(sql, i, ']')
			put(lower(strings.Trim(sql[i:end], "[]")))
		case strings.HasPrefix(sql[i:], "--"):
			end = until(sql, i, "\n")
			space = true
		case strings.HasPrefix(sql[i:], "/*"):
			end = until(sql, i, "*/")
			space = true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			space = true
		default:
			put(lower(sql[i:end]))
		}
		i = end
	}
	return b.String()
}

// lower lowers the letters that SQL reads without regard to case, which are those of ASCII, byte by byte.
func lower(sql string) string {
	b := []byte(sql)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// closing is the place after the quote that ends what begins at start; a doubled quote is a part of it.
func closing(sql string, start int, quote byte) int {
	for i := start + 1; i < len(sql); i++ {
		if sql[i] != quote {
			continue
		}
		if i+1 == len(sql) || sql[i+1] != quote {
			return i + 1
		}
		i++
	}
	return len(sql)
}

func until(sql string, start int, end string) int {
	if i := strings.Index(sql[start:], end); i >= 0 {
		return start + i + len(end)
	}
	return len(sql)
}

// balanced is the place after the parenthesis that closes the one at start.
func balanced(sql string, start int) int {
	depth := 0
	for i := start; i < len(sql); i++ {
		switch sql[i] {
		case '\'':
			i = closing(sql, i, '\'') - 1
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(sql)
}

// unwrapped takes off parentheses around the whole of an expression.
func unwrapped(sql string) string {
	sql = strings.TrimSpace(sql)
	for strings.HasPrefix(sql, "(") && strings.HasSuffix(sql, ")") && balanced(sql, 0) == len(sql) {
		sql = strings.TrimSpace(sql[1 : len(sql)-1])
	}
	return sql
}

// predicate brings the condition of a partial index to one spelling: of PostgreSQL's the expression, of SQLite's what
// follows WHERE in the statement.
func predicate(sql string) string {
	sql = normalised(sql)
	if _, after, found := strings.Cut(sql, " where "); found {
		sql = after
	}
	return unwrapped(sql)
}

var (
	cast   = regexp.MustCompile(`::[a-z_ ]+(\(\d+\))?$`)
	number = regexp.MustCompile(`^'(-?\d+(\.\d+)?)'$`)
)

// value brings a default to one spelling; a null is none.
func value(sql string) string {
	sql = unwrapped(normalised(sql))
	sql = unwrapped(cast.ReplaceAllString(sql, ""))
	if sql == "null" {
		return ""
	}
	return number.ReplaceAllString(sql, "$1")
}

var checkWord = regexp.MustCompile(`\bcheck ?\(`)

// checks finds the check constraints in a CREATE TABLE statement, as "check (expression)".
func checks(create string) []string {
	sql := normalised(create)
	// The words in literals are blanked out for the search, so that only the statement's own are found.
	search := []byte(sql)
	for i := 0; i < len(search); i++ {
		if search[i] == '\'' {
			end := closing(sql, i, '\'')
			for ; i < end; i++ {
				search[i] = ' '
			}
			i--
		}
	}
	var all []string
	for _, at := range checkWord.FindAllIndex(search, -1) {
		all = append(all, "check ("+unwrapped(sql[at[1]-1:balanced(sql, at[1]-1)])+")")
	}
	return all
}
