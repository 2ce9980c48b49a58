package postgres

import (
	"bytes"
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// tlsRefusals is a dialer for sslmode=prefer, which is the default, towards servers without TLS: they say so on a connection
// that then goes on without. pgx closes it and dials the same address again, which costs the server one process more for every
// connection. Here the second dial of an attempt gets the connection of the first, as libpq has it.
type tlsRefusals struct {
	dial pgconn.DialFunc
	mu   sync.Mutex
	kept map[attempt]net.Conn
}

// attempt tells apart who dials. pgx gives all of an attempt to connect to one address one context, which ends with it.
type attempt struct {
	done             <-chan struct{}
	network, address string
}

// onePerAttempt has a configuration that goes on without TLS where it is refused do so on one connection.
func onePerAttempt(c *pgx.ConnConfig) {
	plain := slices.ContainsFunc(c.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.TLSConfig == nil })
	if c.TLSConfig != nil && plain {
		c.DialFunc = newTLSRefusals(c.DialFunc).dialContext
	}
}

func newTLSRefusals(dial pgconn.DialFunc) *tlsRefusals {
	return &tlsRefusals{dial: dial, kept: map[attempt]net.Conn{}}
}

func (r *tlsRefusals) dialContext(ctx context.Context, network, address string) (net.Conn, error) {
	a := attempt{ctx.Done(), network, address}
	if c := r.take(a); c != nil {
		return c, nil
	}
	c, err := r.dial(ctx, network, address)
	if err != nil || a.done == nil {
		return c, err
	}
	return &asking{Conn: c, keep: func() {
		r.put(a, c)
		context.AfterFunc(ctx, func() { // nobody dialled again
			if c := r.take(a); c != nil {
				c.Close() //nolint:errcheck,gosec // nothing was sent that matters
			}
		})
	}}, nil
}

func (r *tlsRefusals) take(a attempt) net.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.kept[a]
	delete(r.kept, a)
	return c
}

func (r *tlsRefusals) put(a attempt, c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if earlier := r.kept[a]; earlier != nil { // without a time limit to connect, several attempts may have one context
		earlier.Close() //nolint:errcheck,gosec // as above
	}
	r.kept[a] = c
}

// What is known of a connection.
const (
	fresh   = iota // nothing was said on it
	asked          // the client asked for TLS
	refused        // the server refused it, and nothing else was said
	other
)

// sslRequest is the message with which a client asks for TLS, before anything else.
var sslRequest = []byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}

// asking is a connection that is kept instead of closed when all that was said on it is that TLS is refused.
type asking struct {
	net.Conn
	keep func()
	said atomic.Int32
}

// Write implements net.Conn.
func (c *asking) Write(p []byte) (int, error) {
	if !bytes.Equal(p, sslRequest) || !c.said.CompareAndSwap(fresh, asked) {
		c.said.Store(other)
	}
	return c.Conn.Write(p)
}

// Read implements net.Conn.
func (c *asking) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n != 1 || p[0] != 'N' || !c.said.CompareAndSwap(asked, refused) {
		c.said.Store(other)
	}
	return n, err
}

// Close implements net.Conn.
func (c *asking) Close() error {
	if c.said.CompareAndSwap(refused, other) {
		c.keep()
		return nil
	}
	return c.Conn.Close()
}
