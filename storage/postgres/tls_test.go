package postgres

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// authority is a certificate authority of a test's own; it says yes to one server.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string // of its certificate
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), name+".pem")}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	var der []byte
	a.key, der = sign(t, template, nil)
	var err error
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a key and a certificate of it, signed by the authority or, without one, by itself.
func sign(t *testing.T, template *x509.Certificate, by *authority) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// encrypted turns TLS on in a server, with a certificate for 127.0.0.1 and nothing else. The server writes the files itself,
// so that they are its user's.
func encrypted(t *testing.T, s *dbtest.PostgreSQLServer, by *authority) {
	t.Helper()
	key, der := sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, by)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, kind string, content []byte) string {
		text := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
		return fmt.Sprintf(`COPY (SELECT '%s') TO PROGRAM 'umask 077; base64 -d > %s'`, text, name)
	}
	admin := open(t, s.URL(""), storage.Options{})
	run(t, admin, file("server.key", "PRIVATE KEY", private), file("server.crt", "CERTIFICATE", der),
		"ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
}

// counter passes connections on to a server and counts them, and those that are over.
type counter struct {
	address    string
	made, over atomic.Int64
}

func newCounter(t *testing.T, server string) *counter {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &counter{address: listener.Addr().String()}
	var all sync.WaitGroup
	pass := func(client net.Conn) {
		r.made.Add(1)
		defer r.over.Add(1)
		defer client.Close()
		upstream, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", server)
		if err != nil {
			t.Error(err)
			return
		}
		defer upstream.Close()
		all.Go(func() {
			defer client.Close()
			_, _ = io.Copy(client, upstream)
		})
		_, _ = io.Copy(upstream, client)
	}
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { pass(client) })
		}
	})
	t.Cleanup(func() { listener.Close(); all.Wait() })
	return r
}

// A server has a process for every connection, also for one on which it does nothing but refuse TLS.
func TestARefusedTLSCostsNoSecondConnection(t *testing.T) {
	server, err := url.Parse(dbtest.PostgreSQL(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		query string
		taken bool
	}{
		{"sslmode=prefer", true},
		{"sslmode=prefer&connect_timeout=0", true},
		{"sslmode=disable", true},
		{"sslmode=require", false},
	} {
		t.Run(c.query, func(t *testing.T) {
			r := newCounter(t, server.Host)
			through := fmt.Sprintf("postgresql://postgres@%s%s?%s", r.address, server.Path, c.query)
			db, err := openURL(t, through, storage.Options{})
			if c.taken != (err == nil) {
				t.Fatalf("%v", err)
			}
			if c.taken {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			}
			if n := r.made.Load(); n != 1 {
				t.Errorf("%d connections were made, want 1", n)
			}
			eventually(t, "all connections are over", func() bool { return r.over.Load() == r.made.Load() })
		})
	}
}

func TestARefusedConnectionThatNobodyGoesOnWithEndsWithItsAttempt(t *testing.T) {
	server, err := url.Parse(dbtest.PostgreSQL(t))
	if err != nil {
		t.Fatal(err)
	}
	r := newCounter(t, server.Host)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	refusals := newTLSRefusals((&net.Dialer{}).DialContext)
	var conns []net.Conn
	for range 2 { // at once, and with one context
		conn, err := refusals.dialContext(ctx, "tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		if _, err := conn.Write(sslRequest); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "one of two is over", func() bool { return r.over.Load() == 1 })
	refusals.mu.Lock()
	kept := len(refusals.kept)
	refusals.mu.Unlock()
	if kept != 1 {
		t.Errorf("%d connections are kept, want 1", kept)
	}
	cancel()
	eventually(t, "both are over", func() bool { return r.over.Load() == 2 })
}

func TestAServerIsVerifiedWhenTheURLAsksForTLS(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	s := dbtest.Server(t, dbtest.Options{})
	plain := dbtest.PostgreSQL(t)
	encrypted(t, s, ours)
	at := func(host, query string) string {
		return fmt.Sprintf("postgresql://postgres@%s:%d/postgres?%s", host, s.Port(), query)
	}
	root := func(a *authority) string { return "sslrootcert=" + url.QueryEscape(a.file) }
	for _, c := range []struct {
		name, url string
		taken     bool
		tls       bool
	}{
		{"the right authority and the right host", at("127.0.0.1", "sslmode=verify-full&"+root(ours)), true, true},
		{"the wrong host", at("localhost", "sslmode=verify-full&"+root(ours)), false, false},
		{"the wrong authority", at("127.0.0.1", "sslmode=verify-full&"+root(theirs)), false, false},
		{"an authority that this system does not know", at("127.0.0.1", "sslmode=verify-full"), false, false},
		{"verify-ca and another name of the host", at("localhost", "sslmode=verify-ca&"+root(ours)), true, true},
		{"verify-ca and the wrong authority", at("127.0.0.1", "sslmode=verify-ca&"+root(theirs)), false, false},
		{"require with the right authority", at("localhost", "sslmode=require&"+root(ours)), true, true},
		{"require with the wrong authority", at("127.0.0.1", "sslmode=require&"+root(theirs)), false, false},
		{"require by itself, which libpq does not verify", at("127.0.0.1", "sslmode=require"), false, false},
		{"asyncpg's ssl=true", at("127.0.0.1", "ssl=true"), false, false},
		{"one of two hosts", fmt.Sprintf("postgresql://postgres@127.0.0.1:%d,localhost:%d/postgres?sslmode=require", s.Port(), s.Port()), false, false},
		{"TLS if it can be had, of anybody", at("127.0.0.1", "sslmode=prefer"), true, true},
		{"no TLS", at("127.0.0.1", "sslmode=disable"), true, false},
		{"a server without TLS", plain + "?sslmode=require", false, false},
		{"a server without TLS, and an authority", plain + "?sslmode=verify-full&" + root(ours), false, false},
		{"TLS of a server without it, if it can be had", plain + "?sslmode=prefer", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !c.taken {
				if db, err := openURL(t, c.url, storage.Options{}); !errors.Is(err, storage.ErrConfig) {
					t.Errorf("got %v, %v; want it refused", db, err)
				}
				return
			}
			db := open(t, c.url, storage.Options{})
			var on bool
			if err := db.pool.QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&on); err != nil || on != c.tls {
				t.Errorf("encrypted: %t, %v; want %t", on, err, c.tls)
			}
		})
	}
}
