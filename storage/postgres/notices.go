package postgres

import (
	"context"
	"database/sql/driver"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// attentive is a connector whose connections pass on what the server says while a statement runs.
type attentive struct {
	driver.Connector
	*notices
}

// listening gives a connector that makes sessions.
func listening(c *pgx.ConnConfig) driver.Connector {
	n := &notices{}
	c.OnNotice = n.pass
	return &attentive{stdlib.GetConnector(*c), n}
}

// Connect opens a session.
func (a *attentive) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := a.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*stdlib.Conn)
	if !ok {
		return nil, fmt.Errorf("the driver made a %T where a *stdlib.Conn is expected", c)
	}
	return &noticeConn{conn, a.notices}, nil
}

// noticeConn is a connection to whose notices one may listen.
type noticeConn struct {
	*stdlib.Conn
	*notices
}

// notices passes the server's notices on to whoever listens.
type notices struct {
	mu   sync.Mutex
	hear func(message string)
}

// OnNotice has f called with every message of the severity NOTICE, by the goroutine that waits for the statement, until
// another or nil takes its place. f must not use the connection.
func (n *notices) OnNotice(f func(message string)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hear = f
}

func (n *notices) pass(_ *pgconn.PgConn, m *pgconn.Notice) {
	n.mu.Lock()
	hear := n.hear
	n.mu.Unlock()
	if hear != nil && m.SeverityUnlocalized == "NOTICE" {
		hear(m.Message)
	}
}
