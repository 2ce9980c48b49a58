package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/safebox/safebox/storage"
)

// Time limits of a connection. A replica that the network cuts off is dead to the server after keepaliveIdle +
// keepaliveCount × keepaliveInterval = 7 s, or after userTimeout when data is under way, and a running statement ends at
// most connectionCheck after that: within the 10 s in which its locks must be free for another.
const (
	connectTimeout    = 5 * time.Second
	keepaliveIdle     = 4 * time.Second
	keepaliveInterval = time.Second
	keepaliveCount    = 3
	userTimeout       = 6500 * time.Millisecond // below the keepalives' sum, whose last probe it then decides
	connectionCheck   = time.Second

	// A replica that is frozen, and whose kernel still answers, lets go of its partitions after this long; see also settle_plans.
	idleInTransaction = "8s"
)

// sessionParameters are sent with the startup of every connection to a server. PostgreSQL 14 brought
// client_connection_check_interval, which ends a running statement whose client is gone.
func sessionParameters() map[string]string {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	return map[string]string{
		"client_connection_check_interval":    strconv.Itoa(int(connectionCheck / time.Millisecond)),
		"idle_in_transaction_session_timeout": idleInTransaction,
		// An append relies on a new snapshot for each statement, whatever the server's default is.
		"default_transaction_isolation": "read committed",
		"tcp_keepalives_idle":           seconds(keepaliveIdle),
		"tcp_keepalives_interval":       seconds(keepaliveInterval),
		"tcp_keepalives_count":          strconv.Itoa(keepaliveCount),
		"tcp_user_timeout":              strconv.Itoa(int(userTimeout / time.Millisecond)),
	}
}

// poolConfig is the pool's configuration by SQLAlchemy's policy.
func poolConfig(o storage.Options, t *tracer) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, configError("the environment of libpq (the variables that begin with PG)", err)
	}
	if c.ConnConfig, err = connConfig(o.URL, o.Role, o.Instance, t); err != nil {
		return nil, err
	}
	if pooled(o) {
		throughPooler(c.ConnConfig)
	}
	c.MaxConns = int32(min(o.Policy.Max(), math.MaxInt32))
	c.MinConns = 0
	c.MaxConnLifetime = max(o.Policy.Recycle, 0) // 0: never
	c.MaxConnLifetimeJitter = 0
	c.MaxConnIdleTime = math.MaxInt64 // SQLAlchemy keeps idle connections, up to the size
	c.PingTimeout = connectTimeout
	return c, nil
}

// directConfig is the configuration of a connection to the server itself.
func directConfig(o storage.Options, t *tracer) (*pgx.ConnConfig, error) {
	return connConfig(o.Direct, o.Role, o.Instance, t)
}

// connConfig turns an URL into what pgx connects by. pgx gets the passwords beside the text that it parses, so that none
// of its messages can show them.
func connConfig(u storage.URL, role, instance string, t *tracer) (*pgx.ConnConfig, error) {
	settings := u.Settings()
	sslPassword := settings["sslpassword"]
	delete(settings, "sslpassword")
	if u.User() != "" {
		settings["user"] = u.User()
	}
	if u.Database() != "" {
		settings["dbname"] = u.Database()
	}
	var hosts, ports []string
	for _, h := range u.Hosts() {
		hosts = append(hosts, h.Name)
		port := ""
		if h.Port != 0 {
			port = strconv.Itoa(int(h.Port))
		}
		ports = append(ports, port)
	}
	if strings.Join(hosts, "") != "" {
		settings["host"] = strings.Join(hosts, ",")
	}
	if strings.Join(ports, "") != "" {
		settings["port"] = strings.Join(ports, ",")
	}
	c, err := pgx.ParseConfigWithOptions(keywords(settings), pgx.ParseConfigOptions{ParseConfigOptions: pgconn.ParseConfigOptions{
		GetSSLPassword: func(context.Context) string { return sslPassword },
	}})
	if err != nil {
		return nil, fmt.Errorf("%w: database URL %s: %w", storage.ErrConfig, u, flatten(cause(err)))
	}
	verified(c)
	if password, ok := u.Password(); ok {
		c.Password = password
	}
	if settings["connect_timeout"] == "" {
		c.ConnectTimeout = connectTimeout
	}
	for name, value := range sessionParameters() {
		c.RuntimeParams[name] = value
	}
	c.RuntimeParams["application_name"] = applicationName(role, instance)
	c.DialFunc = dialer().DialContext
	onePerAttempt(c)
	if t != nil {
		c.Tracer = t
	}
	return c, nil
}

// cause takes off pgx's wrapper, which repeats the whole connection string, where there is a reason below it.
func cause(err error) error {
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) && errors.Unwrap(parse) != nil {
		return errors.Unwrap(parse)
	}
	return err
}

// keywords writes settings in libpq's form name='value'.
func keywords(settings map[string]string) string {
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}
	sort.Strings(names)
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s='%s' ", name, quote.Replace(settings[name]))
	}
	return b.String()
}

// applicationName is safebox/<role>/<instance>, in at most the 63 bytes that the server keeps.
func applicationName(role, instance string) string {
	name := "safebox"
	for _, part := range []string{role, instance} {
		if part != "" {
			name += "/" + part
		}
	}
	for len(name) > 63 {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}

// dialer makes client sockets that notice a dead server as fast as the server notices a dead client.
func dialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepaliveIdle, Interval: keepaliveInterval, Count: keepaliveCount},
		Control:         setUserTimeout,
	}
}
