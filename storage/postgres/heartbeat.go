package postgres

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/safebox/safebox/storage"
)

// What bounds a lock whose holder fell silent. A network that is down is noticed by TCP (see sessionParameters). Where
// everything between the two still answers for the other (a process that is frozen, a proxy that is stalled), only the
// holder's own words tell that it lives: the server ends the session after lockSilence without any, and the holder says
// something every beatEvery when its work does not. A statement that runs is work of the server's own and is not ended.
const (
	lockSilence = 8 * time.Second
	beatEvery   = 2 * time.Second
	beatTimeout = 5 * time.Second
	// borrowFor is how long a beat waits for the session; when the work uses it that long there is no need to beat.
	borrowFor = 100 * time.Millisecond
	// holderPatience is how long a statement may run while the server cannot be asked, on another connection, whether
	// the session still exists. The lock is free long before; this frees the process, which else would wait for ever.
	holderPatience = 20 * time.Second
)

var qInitSessionHolds = queries.Get("init_session_holds")

// heartbeat keeps a session that holds the lock from falling silent, and cuts it when the server has given it up.
type heartbeat struct {
	db      *DB
	session *sql.DB
	pid     uint32
	socket  net.Conn

	heard time.Time // when the server was last known to be there
	quit  chan struct{}
	done  chan struct{}
}

func (h *heartbeat) start() {
	h.heard = time.Now()
	h.quit, h.done = make(chan struct{}), make(chan struct{})
	go h.run()
}

// stop ends the heartbeat; no beat is under way any more when it returns.
func (h *heartbeat) stop() {
	close(h.quit)
	<-h.done
}

func (h *heartbeat) run() {
	defer close(h.done)
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-h.quit:
			return
		case <-tick.C:
		}
		if h.beat() {
			continue
		}
		h.db.log.Warn("the session that holds the initialisation lock is lost; cutting it, so that nothing waits for it",
			"server_process", h.pid, "last_heard", time.Since(h.heard).Round(time.Second))
		h.socket.Close() //nolint:errcheck // whoever uses it is told
		return
	}
}

// beat says something on the session or, while the work uses it, asks elsewhere whether it still holds the lock. It is
// false when the session is lost. It has a context of its own: to cancel a statement would end the session.
func (h *heartbeat) beat() bool {
	ctx, cancel := context.WithTimeout(context.Background(), beatTimeout)
	defer cancel()
	borrowing, stop := context.WithTimeout(ctx, borrowFor)
	defer stop()
	c, err := h.session.Conn(borrowing)
	if err != nil {
		return borrowing.Err() != nil && h.alive(ctx) // else the one session there was is gone
	}
	defer c.Close() //nolint:errcheck // it goes back, whatever became of it
	if err := c.PingContext(ctx); err != nil {
		return false
	}
	h.heard = time.Now()
	return true
}

// alive asks through the pool. Whoever is refused there has heard from the server, too.
func (h *heartbeat) alive(ctx context.Context) bool {
	var holds bool
	err := h.db.queryRow(ctx, qInitSessionHolds, []any{int32(h.pid)}, &holds)
	var refused *pgconn.PgError
	var full *storage.PoolTimeoutError
	switch {
	case err == nil && !holds:
		return false
	case err == nil, errors.As(err, &refused), errors.As(err, &full):
		h.heard = time.Now()
	}
	return time.Since(h.heard) < holderPatience
}
