package storage

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

const mask = "***"

// expected is what a refusal says about the whole grammar.
const expected = "expected sqlite:///relative.db, sqlite:////absolute.db or postgresql://user:password@host:5432/database"

// ParseURL reads a database URL as SQLAlchemy does. An error wraps ErrConfig, shows the URL with its password masked, and
// says what was expected.
//
// The password ends at the first @ after it; a / ? or # in it need not be escaped, and neither need an @ that no / or ?
// follows before the next one. Everything in user, password and options may be percent-encoded; the database's name and
// the path of a file are taken as they stand.
func ParseURL(raw string) (URL, error) {
	u, err := parse(raw)
	if err != nil {
		return URL{}, fmt.Errorf("%w: database URL %q: %w", ErrConfig, Mask(raw), err)
	}
	return u, nil
}

func parse(raw string) (URL, error) {
	if raw == "" {
		return URL{}, errors.New("it is empty; " + expected)
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return URL{}, errors.New("it has a control character (a line break at its end, perhaps?); " + expected)
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return URL{}, errors.New(`there is no "://"; ` + expected)
	}
	name, driver, plus := strings.Cut(scheme, "+")
	switch name {
	case "sqlite":
		if err := checkDriver(driver, plus, "pysqlite", "aiosqlite"); err != nil {
			return URL{}, err
		}
		return parseSQLite(rest)
	case "postgresql", "postgres":
		if err := checkDriver(driver, plus, "psycopg2", "psycopg", "psycopg_async", "asyncpg"); err != nil {
			return URL{}, err
		}
		s, err := parseServer(rest)
		return URL{Dialect: PostgreSQL, server: s}, err
	}
	return URL{}, errors.New("its scheme is neither sqlite nor postgresql; " + expected)
}

// checkDriver refuses a driver suffix that is not of this dialect; a known one means nothing here.
func checkDriver(driver string, plus bool, known ...string) error {
	if !plus {
		return nil
	}
	for _, k := range known {
		if driver == k {
			return nil
		}
	}
	return fmt.Errorf("its driver is not known; leave the part after + out, or use one of: %s", strings.Join(known, ", "))
}

func parseSQLite(rest string) (URL, error) {
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if authority != "" {
		return URL{}, errors.New("a SQLite URL names no host: write three slashes before a relative path, sqlite:///data/database.db, and four before an absolute one, sqlite:////var/lib/safebox/database.db")
	}
	path, query, _ := strings.Cut(path, "?")
	path = strings.TrimPrefix(path, "/")
	if strings.HasPrefix(path, "file:") {
		return URL{}, errors.New("a path of SQLite's own file: form is not taken: write the path itself, sqlite:///data/database.db")
	}
	values, err := parseQuery(query)
	if err != nil {
		return URL{}, err
	}
	for name := range values {
		if name != "check_same_thread" && name != "timeout" {
			return URL{}, fmt.Errorf("option %q is not known; a SQLite URL may have check_same_thread, which is read and means nothing here, and timeout, in the place of which DB_POOL_TIMEOUT_SECONDS says how long a lock is waited for", name)
		}
	}
	if path == ":memory:" {
		path = ""
	}
	if path != "" {
		path = filepath.Clean(path)
	}
	return URL{Dialect: SQLite, Path: path}, nil
}

func parseServer(rest string) (*server, error) {
	s := &server{}
	if info, after, ok := cutUserinfo(rest); ok {
		user, password, has := strings.Cut(info, ":")
		var err error
		if s.user, err = url.PathUnescape(user); err != nil {
			return nil, errors.New("the user has a % that two hexadecimal digits do not follow: write % as %25")
		}
		if password, err = url.PathUnescape(password); err != nil {
			return nil, errors.New("the password has a % that two hexadecimal digits do not follow: write % as %25")
		}
		if has {
			s.password = &password
		}
		rest = after
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	hosts, err := parseHosts(authority)
	if err != nil {
		return nil, err
	}
	s.hosts = hosts
	database, query, _ := strings.Cut(path, "?")
	s.database = strings.TrimPrefix(database, "/")
	if strings.Contains(s.database, "/") || (s.user != "" || s.password != nil) && strings.Contains(path, "@") {
		return nil, errors.New("there is a / in the name of the database, or an @ after the host: write @ as %40 in a user, a password or an option, and / as %2F")
	}
	values, err := parseQuery(query)
	if err != nil {
		return nil, err
	}
	if err := s.apply(values); err != nil {
		return nil, err
	}
	if strings.ContainsRune(s.user+s.database, 0) || s.password != nil && strings.ContainsRune(*s.password, 0) {
		return nil, errors.New("it has a NUL character")
	}
	return s, nil
}

// cutUserinfo splits user[:password]@ off. The user ends at the first colon; the password at the first @ after it that
// no further @ of the same authority follows.
func cutUserinfo(rest string) (info, after string, ok bool) {
	user := rest
	if i := strings.IndexAny(rest, ":/"); i >= 0 {
		user = rest[:i]
	}
	at := -1
	if len(user) < len(rest) && rest[len(user)] == ':' {
		at = strings.IndexByte(rest[len(user):], '@')
		if at >= 0 {
			at += len(user)
		}
	}
	if at < 0 {
		if at = strings.LastIndexByte(user, '@'); at < 0 {
			return "", rest, false
		}
		if q := strings.IndexByte(user, '?'); q >= 0 && q < at {
			return "", rest, false
		}
		return rest[:at], rest[at+1:], true
	}
	for {
		authority := rest[at+1:]
		if i := strings.IndexAny(authority, "/?"); i >= 0 {
			authority = authority[:i]
		}
		next := strings.LastIndexByte(authority, '@')
		if next < 0 {
			return rest[:at], rest[at+1:], true
		}
		at += 1 + next
	}
}

// parseHosts reads h1:1,h2:2 with IPv6 addresses in brackets.
func parseHosts(list string) ([]Host, error) {
	if list == "" {
		return nil, nil
	}
	var hosts []Host
	for _, one := range strings.Split(list, ",") {
		h, err := parseHost(one)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

func parseHost(text string) (Host, error) {
	var h Host
	name, port, hasPort := strings.Cut(text, ":")
	if inner, ok := strings.CutPrefix(text, "["); ok {
		address, after, closed := strings.Cut(inner, "]")
		addr, err := netip.ParseAddr(address)
		if !closed || err != nil || !addr.Is6() || (after != "" && after[0] != ':') {
			return h, errors.New("an address in brackets must be IPv6, like [::1]:5432")
		}
		name, port, hasPort = address, strings.TrimPrefix(after, ":"), after != ""
	} else if strings.Count(text, ":") > 1 {
		return h, errors.New("a host has more than one colon: an IPv6 address stands in brackets, like [::1]:5432")
	}
	// An escaped slash is how libpq writes the folder of a Unix socket in the place of a host.
	name, err := url.PathUnescape(name)
	if err != nil || strings.ContainsAny(name, " \t'\\@,\x00") {
		return h, errors.New("a host's name has a character that no host's name has")
	}
	h.Name = name
	if hasPort && port != "" {
		if h.Port, err = parsePort(port); err != nil {
			return h, err
		}
	}
	return h, nil
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, errors.New("a port must be a whole number from 1 to 65535; a password that has a colon or a slash needs the user before it and an @ after it")
	}
	return uint16(n), nil
}

// parseQuery reads a=1&b=2. It is stricter than a form: an option without a name or a value is a slip of the pen.
func parseQuery(query string) (url.Values, error) {
	values := url.Values{}
	if query == "" {
		return values, nil
	}
	for _, pair := range strings.Split(query, "&") {
		name, value, ok := strings.Cut(pair, "=")
		n, nameErr := url.QueryUnescape(name)
		v, valueErr := url.QueryUnescape(value)
		if !ok || n == "" || nameErr != nil || valueErr != nil || strings.ContainsRune(n+v, 0) {
			return nil, errors.New("its options must have the form ?name=value&name=value, percent-encoded")
		}
		values[n] = append(values[n], v)
	}
	return values, nil
}

var secretOption = regexp.MustCompile(`(?i)((?:password|pass|pwd|secret|token)[^=&]*=)[^&]*`)

// Mask hides what may be a password in a URL, also in one so broken that it cannot be parsed: all that stands between the
// first colon after :// and the last @, the values of options whose name speaks of a password, and, where there is no @,
// what stands in the place of a port and is no number.
func Mask(raw string) string {
	head, rest, ok := strings.Cut(raw, "://")
	if !ok {
		head, rest = "", raw
	} else {
		head += "://"
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if colon := strings.IndexByte(rest[:at], ':'); colon >= 0 {
			rest = rest[:colon+1] + mask + rest[at:]
		} else if !ok {
			rest = mask + rest[at:]
		}
	} else if colon := strings.IndexByte(rest, ':'); colon >= 0 && head != "" && !strings.HasPrefix(head, "sqlite") {
		port, after := rest[colon+1:], ""
		if i := strings.IndexAny(port, "/?,"); i >= 0 {
			port, after = port[:i], port[i:]
		}
		if _, err := strconv.ParseUint(port, 10, 64); err != nil && port != "" && rest[0] != '[' {
			rest = rest[:colon+1] + mask + after
		}
	}
	return head + secretOption.ReplaceAllString(rest, "${1}"+mask)
}
