package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// relay passes one connection on to a server and, like a pooler, tells its client a process id of its own making.
func relay(client, server net.Conn) {
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(server, client) // either side's end is the end
		_ = server.Close()
	})
	both.Go(func() {
		defer client.Close() // as above
		head := make([]byte, 5)
		for {
			if _, err := io.ReadFull(server, head); err != nil {
				return
			}
			body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
			if _, err := io.ReadFull(server, body); err != nil {
				return
			}
			if head[0] == 'K' { // BackendKeyData
				binary.BigEndian.PutUint32(body, binary.BigEndian.Uint32(body)+1)
			}
			if _, err := client.Write(append(append([]byte(nil), head...), body...)); err != nil {
				return
			}
		}
	})
	both.Wait()
}

func TestAPoolerInFrontIsRefusedWithWhatToSet(t *testing.T) {
	db := replica(initContext(t), t, dbtest.PostgreSQL(t))
	db.direct.TLSConfig, db.direct.Fallbacks = nil, nil
	db.direct.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		server, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		client, inner := net.Pipe()
		go relay(inner, server)
		return client, nil
	}
	_, err := locker{db}.TryLock(initContext(t), "me")
	var pooler *PoolerError
	if !errors.As(err, &pooler) || !errors.Is(err, storage.ErrConfig) || !strings.Contains(err.Error(), "SAFEBOX_DATABASE_DIRECT") {
		t.Errorf("%v; want a PoolerError", err)
	}
	if _, held, err := (locker{db}).Holder(initContext(t)); held || err != nil {
		t.Errorf("a lock was taken through the pooler: %t, %v", held, err)
	}
}
