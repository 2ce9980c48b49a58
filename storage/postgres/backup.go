package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage"
)

// stmtBackup names a failure to reach the server for a backup, which is no statement's.
const stmtBackup = "backup"

// CheckBackup implements storage.DB: it looks for a pg_dump that can read this server.
func (db *DB) CheckBackup(ctx context.Context, path string) error {
	if err := storage.CheckBackupFile(path); err != nil {
		return err
	}
	_, err := db.client(ctx, "pg_dump")
	return err
}

// Backup implements storage.DB with pg_dump's custom format, from the server itself.
func (db *DB) Backup(ctx context.Context, path string, progress func(activity string)) (storage.BackupInfo, error) {
	program, err := db.client(ctx, "pg_dump")
	if err != nil {
		return storage.BackupInfo{}, err
	}
	return storage.WriteBackup(path, storage.BackupArchive, progress, func(temporary string) error {
		var told bytes.Buffer
		return db.runClient(ctx, &told, program, "--format=custom", "--no-password", "--file="+temporary)
	})
}

// hearing takes what a program says, and tells it again.
type hearing interface {
	io.Writer
	fmt.Stringer
}

// runClient runs one of PostgreSQL's programs on the server itself. told takes what it says; its end is part of an error.
func (db *DB) runClient(ctx context.Context, told hearing, program string, args ...string) error {
	c := exec.CommandContext(ctx, program, args...)
	c.Env = append(withoutSecrets(os.Environ()), db.libpqEnviron()...)
	c.Stderr = told
	// Asked to end, it ends its statement on the server too.
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = closeGrace
	if err := c.Run(); err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("%s: %w: %s", program, err, lastOf(told.String())))
	}
	return nil
}

// lastOf is the end of what a program said, which tells why it stopped.
func lastOf(text string) string {
	const most = 1000
	text = strings.TrimSpace(text)
	if len(text) > most {
		text = "…" + text[len(text)-most:]
	}
	return strings.ToValidUTF8(text, "")
}

// clients is where PostgreSQL's programs may be, beside PATH.
var clients = "/usr/lib/postgresql/*/bin"

// client is a program of PostgreSQL, pg_dump or pg_restore, at least as new as the server, as it must be; else the error is
// ErrConfig.
func (db *DB) client(ctx context.Context, name string) (string, error) {
	if db.options.Direct.Settings()["sslpassword"] != "" {
		return "", fmt.Errorf("%w: %s takes no sslpassword from the environment, which is the only way that shows it to nobody: "+
			"give it a key without a password, or run it yourself", storage.ErrConfig, name)
	}
	server, err := db.serverMajor(ctx)
	if err != nil {
		return "", err
	}
	var candidates []string
	if path, err := exec.LookPath(name); err == nil {
		candidates = append(candidates, path)
	}
	installed, _ := filepath.Glob(filepath.Join(clients, name)) // the pattern is well formed
	candidates = append(candidates, installed...)
	var found []string
	for _, path := range candidates {
		major, err := programMajor(ctx, path)
		switch {
		case err != nil:
			found = append(found, fmt.Sprintf("%s (%v)", path, err))
		case major >= server:
			return path, nil
		default:
			found = append(found, fmt.Sprintf("%s (version %d)", path, major))
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("%w: this needs %s, which is neither in PATH nor in %s: install PostgreSQL's client programs of "+
			"version %d or newer (on Debian: postgresql-client-%d)", storage.ErrConfig, name, clients, server, server)
	}
	return "", fmt.Errorf("%w: the server is PostgreSQL %d, and only an equal or newer %s serves it; there is %s: install "+
		"PostgreSQL's client programs of version %d or newer (on Debian: postgresql-client-%d)",
		storage.ErrConfig, server, name, strings.Join(found, ", "), server, server)
}

// serverMajor asks the server itself for its version.
func (db *DB) serverMajor(ctx context.Context) (int, error) {
	conn, err := pgx.ConnectConfig(ctx, db.direct)
	if err != nil {
		return 0, wrap(stmtBackup, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))            //nolint:errcheck // nothing depends on it
	told := conn.PgConn().ParameterStatus("server_version") // 15.10 (Debian 15.10-1), or 17beta1
	major := leadingNumber.FindString(told)
	if major == "" {
		return 0, fmt.Errorf("the server says that its version is %q, which begins with no number", told)
	}
	return strconv.Atoi(major)
}

var (
	leadingNumber = regexp.MustCompile(`^\d+`)
	dumperVersion = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)
)

// programMajor asks a program of PostgreSQL for its version.
func programMajor(ctx context.Context, path string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return 0, err
	}
	m := dumperVersion.FindSubmatch(out)
	if m == nil {
		return 0, errors.New("it does not tell its version")
	}
	return strconv.Atoi(string(m[1]))
}

// libpqNames are libpq's variables for the options of a URL. Those that are not here are pgx's own, say nothing to a dump,
// or are refused before.
var libpqNames = map[string]string{
	"channel_binding":      "PGCHANNELBINDING",
	"connect_timeout":      "PGCONNECT_TIMEOUT",
	"krbsrvname":           "PGKRBSRVNAME",
	"max_protocol_version": "PGMAXPROTOCOLVERSION",
	"min_protocol_version": "PGMINPROTOCOLVERSION",
	"options":              "PGOPTIONS",
	"passfile":             "PGPASSFILE",
	"require_auth":         "PGREQUIREAUTH",
	"service":              "PGSERVICE",
	"servicefile":          "PGSERVICEFILE",
	"sslcert":              "PGSSLCERT",
	"sslcertmode":          "PGSSLCERTMODE",
	"sslkey":               "PGSSLKEY",
	"sslmode":              "PGSSLMODE",
	"sslnegotiation":       "PGSSLNEGOTIATION",
	"sslrootcert":          "PGSSLROOTCERT",
	"sslsni":               "PGSSLSNI",
	"target_session_attrs": "PGTARGETSESSIONATTRS",
}

// libpqEnviron is how a program of PostgreSQL reaches the server that db.direct reaches: by the environment, which other
// users cannot read. What the URL leaves open libpq finds where pgx found it, in the variables of this process.
func (db *DB) libpqEnviron() []string {
	c := db.direct
	hosts, ports := []string{c.Host}, []string{strconv.Itoa(int(c.Port))}
	for _, f := range c.Fallbacks { // one host may stand here twice, with TLS and without
		last := len(hosts) - 1
		if port := strconv.Itoa(int(f.Port)); f.Host != hosts[last] || port != ports[last] {
			hosts, ports = append(hosts, f.Host), append(ports, port)
		}
	}
	env := []string{
		"PGHOST=" + strings.Join(hosts, ","), "PGPORT=" + strings.Join(ports, ","), "PGUSER=" + c.User,
		"PGAPPNAME=" + applicationName(db.options.Role, db.options.Instance),
	}
	if c.Database != "" {
		env = append(env, "PGDATABASE="+c.Database)
	}
	if c.Password != "" {
		env = append(env, "PGPASSWORD="+c.Password)
	}
	for name, value := range db.options.Direct.Settings() {
		if variable := libpqNames[name]; variable != "" {
			env = append(env, variable+"="+value)
		}
	}
	return env
}

// withoutSecrets leaves out of an environment what configures safebox: a program of PostgreSQL needs no token of ours.
func withoutSecrets(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		return strings.HasPrefix(kv, "DATABASE=") || strings.HasPrefix(kv, "SAFEBOX_")
	})
}
