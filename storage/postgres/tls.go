package postgres

import (
	"crypto/tls"

	"github.com/jackc/pgx/v5"
)

// verified makes a configuration that insists on TLS verify the server by default. libpq takes sslmode=require without a root
// certificate for encryption towards anybody, who may well sit in the middle; here the certificate must then be the host's, by
// the roots of this system, as with sslrootcert=system. Modes that go on without TLS as well (allow, prefer) ask for nothing,
// and stay as they are.
func verified(c *pgx.ConnConfig) {
	type address struct {
		host string
		port uint16
	}
	plain := map[address]bool{}
	if c.TLSConfig == nil {
		plain[address{c.Host, c.Port}] = true
	}
	for _, f := range c.Fallbacks {
		if f.TLSConfig == nil {
			plain[address{f.Host, f.Port}] = true
		}
	}
	verify := func(t *tls.Config, host string, port uint16) {
		if t != nil && !plain[address{host, port}] && t.InsecureSkipVerify && t.VerifyPeerCertificate == nil {
			t.InsecureSkipVerify, t.ServerName = false, host
		}
	}
	verify(c.TLSConfig, c.Host, c.Port)
	for _, f := range c.Fallbacks {
		verify(f.TLSConfig, f.Host, f.Port)
	}
}
