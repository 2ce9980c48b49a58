package storage

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
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

// server is how a PostgreSQL server is reached. The secrets stand behind pointers of their own: fmt follows one, at most.
type server struct {
	hosts       []Host
	user        string
	password    *string // nil: none
	sslPassword *string
	database    string
	options     map[string]string // by libpq's names; what has a field above is never among them
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
	if u.server == nil || u.server.password == nil {
		return "", false
	}
	return *u.server.password, true
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
	if u.server == nil {
		return out
	}
	maps.Copy(out, u.server.options)
	if u.server.sslPassword != nil {
		out["sslpassword"] = *u.server.sslPassword
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
	return u.server.text(false)
}

// text writes the URL, with its secrets or with a mask in the place of each.
func (s *server) text(reveal bool) string {
	secret := func(value string) string {
		if reveal {
			return escape(value)
		}
		return mask
	}
	var b strings.Builder
	b.WriteString("postgresql://")
	if s.user != "" || s.password != nil {
		b.WriteString(escape(s.user))
		if s.password != nil {
			b.WriteString(":" + secret(*s.password))
		}
		b.WriteString("@")
	}
	for i, h := range s.hosts {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(h.inURL())
	}
	b.WriteString("/" + s.database)
	options := make([]string, 0, len(s.options)+1)
	for name, value := range s.options {
		options = append(options, name+"="+escape(value))
	}
	if s.sslPassword != nil {
		options = append(options, "sslpassword="+secret(*s.sslPassword))
	}
	if len(options) > 0 {
		slices.Sort(options)
		b.WriteString("?" + strings.Join(options, "&"))
	}
	return b.String()
}

// inURL is the host as it stands in a URL: the folder of a Unix socket escaped, an IPv6 address in brackets.
func (h Host) inURL() string {
	text := escape(h.Name)
	if !strings.HasPrefix(h.Name, "/") && strings.Contains(h.Name, ":") {
		text = "[" + h.Name + "]"
	}
	if h.Port != 0 {
		text += ":" + strconv.Itoa(int(h.Port))
	}
	return text
}

// escape is percent-encoding in which a space is no plus sign, as user and password need it.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

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
