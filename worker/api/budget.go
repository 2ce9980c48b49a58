package api

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// bodiesLimit is how many bytes of bodies a replica holds at once, of all requests together. What is made of a body while it
// is decoded takes some times as much.
const bodiesLimit = 64 << 20

// errFull says that the bodies in hand are as many bytes as may be.
var errFull = errors.New("too many bytes of bodies are in hand")

// budget bounds the memory that bodies take, whatever their number: a thousand clients may each send a large batch. It counts
// what has come, not what a header promises, so that a client which sends nothing takes nothing away from the others.
type budget struct {
	most int64
	held atomic.Int64
}

// spend counts the body of each request until the request is answered.
func (b *budget) spend(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &countedBody{ReadCloser: r.Body, budget: b}
		defer c.giveBack()
		// A copy: where net/http finds its own body in the request and much of it unread, it lets the client read the answer
		// before it closes the connection.
		counted := *r
		counted.Body = c
		h.ServeHTTP(w, &counted)
	})
}

type countedBody struct {
	io.ReadCloser
	budget *budget
	held   int64
}

// Read fails with errFull where the budget is spent; what was read is counted all the same until the request ends.
func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.held += int64(n)
	if c.budget.held.Add(int64(n)) > c.budget.most {
		return 0, errFull // not n as well: who has all the bytes that it wants forgets the error
	}
	return n, err
}

func (c *countedBody) giveBack() { c.budget.held.Add(-c.held) }

// busy answers a request whose body there is no room for now. The rest of the body is not read.
func busy() *problem {
	return named(http.StatusServiceUnavailable, "busy", "Busy", "the replica holds as many requests as it has room for; send this one again").
		retryAfter(time.Second).with("Connection", "close")
}
