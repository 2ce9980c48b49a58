package storage

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

// Dialect is the kind of database.
type Dialect string

// The dialects.
const (
	PostgreSQL Dialect = "postgresql"
	SQLite     Dialect = "sqlite"
)

// URL is a parsed database URL; ParseURL makes it. However it is printed, the password is masked.
type URL struct {
	Dialect Dialect
	Path    string // SQLite: the file; "" means in memory

	// What only PostgreSQL has stands behind a pointer, so that a struct which embeds a URL prints an address here.
	server *server
}

// server is how a PostgreSQL server is reached.
type server struct {
	hosts       []Host
	user        string
	password    string
	hasPassword bool
	database    string
	options     map[string]string // by libpq's names; "host", "port", "user", "password" and "dbname" are never among them
}

// Host is a server's address. Name "" stands for libpq's default; one that begins with "/" is the folder of a Unix socket.
type Host struct {
	Name string
	Port uint16 // 0: libpq's default
}

// String gives the address as a person would write it.
func (h Host) String() string {
	name := h.Name
	if name == "" {
		name = "localhost"
	}
	port := h.Port
	if port == 0 {
		port = defaultPort
	}
	return net.JoinHostPort(name, strconv.Itoa(int(port)))
}

const defaultPort = 5432

// InMemory tells whether the URL names a SQLite database without a file.
func (u URL) InMemory() bool { return u.Dialect == SQLite && u.Path == "" }

// Hosts are the addresses to try, in order; none: libpq's default.
func (u URL) Hosts() []Host {
	if u.server == nil {
		return nil
	}
	return append([]Host(nil), u.server.hosts...)
}

// User is the role to log in as; "" stands for libpq's default.
func (u URL) User() string {
	if u.server == nil {
		return ""
	}
	return u.server.user
}

// Password is the password, and whether the URL has one. Without one libpq's other sources hold (PGPASSWORD, .pgpass).
func (u URL) Password() (password string, ok bool) {
	if u.server == nil {
		return "", false
	}
	return u.server.password, u.server.hasPassword
}

// Database is the name of the database; "" stands for libpq's default, the name of the user.
func (u URL) Database() string {
	if u.server == nil {
		return ""
	}
	return u.server.database
}

// Settings are the connection options by libpq's names, without host, port, user, password and dbname.
func (u URL) Settings() map[string]string {
	out := map[string]string{}
	if u.server != nil {
		for k, v := range u.server.options {
			out[k] = v
		}
	}
	return out
}

// String is the URL in its plain form, with the password masked.
func (u URL) String() string {
	switch {
	case u.Dialect == SQLite && u.InMemory():
		return "sqlite://"
	case u.Dialect == SQLite:
		return "sqlite:///" + u.Path
	case u.server == nil:
		return ""
	}
	return u.server.String()
}

func (s *server) String() string {
	var b strings.Builder
	b.WriteString("postgresql://")
	if s.user != "" || s.hasPassword {
		b.WriteString(url.QueryEscape(s.user))
		if s.hasPassword {
			b.WriteString(":" + mask)
		}
		b.WriteString("@")
	}
	for i, h := range s.hosts {
		if i > 0 {
			b.WriteString(",")
		}
		name := h.Name
		switch {
		case strings.HasPrefix(name, "/"):
			name = url.QueryEscape(name)
		case strings.Contains(name, ":"):
			name = "[" + name + "]"
		}
		b.WriteString(name)
		if h.Port != 0 {
			b.WriteString(":" + strconv.Itoa(int(h.Port)))
		}
	}
	b.WriteString("/" + s.database)
	names := make([]string, 0, len(s.options))
	for name := range s.options {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		value := url.QueryEscape(s.options[name])
		if name == "sslpassword" {
			value = mask
		}
		b.WriteString(map[bool]string{true: "?", false: "&"}[i == 0] + name + "=" + value)
	}
	return b.String()
}

// Format prints the masked URL whatever the verb.
func (u URL) Format(f fmt.State, verb rune) {
	text := u.String()
	if verb == 'q' || (verb == 'v' && f.Flag('#')) {
		text = strconv.Quote(text)
	}
	_, _ = f.Write([]byte(text)) // the state of a formatter keeps its own errors
}

// LogValue logs the masked URL.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText writes the masked URL, for JSON and the like.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }
