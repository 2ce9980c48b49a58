package faulttest

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// hole is a relay to the server that can lose every packet, as a network does whose cable is pulled. A proxy that merely
// stops passing data on is no such network: the system it runs on goes on acknowledging what arrives, so that neither
// end's TCP finds anything amiss. A hole gives its sockets a filter that drops what arrives before TCP sees it.
type hole struct {
	listener *net.TCPListener
	server   string

	mu    sync.Mutex
	conns []*net.TCPConn
	busy  sync.WaitGroup

	gate   sync.RWMutex // held by those who pass data on
	opened bool
}

func newHole(t *testing.T, server string) *hole {
	t.Helper()
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // such sockets take no filter
	l, err := plain.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hole{listener: l.(*net.TCPListener), server: server}
	h.busy.Go(h.accept)
	t.Cleanup(func() {
		l.Close()
		h.mu.Lock()
		for _, c := range h.conns {
			c.Close()
		}
		h.mu.Unlock()
		h.busy.Wait()
	})
	return h
}

func (h *hole) address() string { return h.listener.Addr().String() }

func (h *hole) accept() {
	for {
		client, err := h.listener.AcceptTCP()
		if err != nil {
			return
		}
		upstream, err := net.Dial("tcp", h.server)
		if err != nil {
			client.Close()
			continue
		}
		server := upstream.(*net.TCPConn)
		h.mu.Lock()
		h.conns = append(h.conns, client, server)
		h.mu.Unlock()
		h.busy.Go(func() { h.pass(server, client) })
		h.busy.Go(func() { h.pass(client, server) })
	}
}

// pass passes data on until either side ends, or the hole opens.
func (h *hole) pass(to, from *net.TCPConn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		h.gate.RLock()
		if h.opened {
			h.gate.RUnlock()
			return // and say nothing to the other side
		}
		if n > 0 {
			_, failed := to.Write(buf[:n])
			err = errors.Join(err, failed)
		}
		if err != nil {
			to.Close()
			from.Close()
		}
		h.gate.RUnlock()
		if err != nil {
			return
		}
	}
}

// open loses every packet from now on, in both directions; whoever connects gets no answer. What was passed on before
// has arrived: else it would be sent again and again, and be a sign of life.
func (h *hole) open(t *testing.T) {
	t.Helper()
	h.gate.Lock()
	h.opened = true
	h.gate.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		eventually(t, "what was passed on arrives", limit, func() bool { return pending(c) == 0 })
	}
	deafen(t, h.listener)
	for _, c := range h.conns {
		deafen(t, c)
	}
}

// pending is how many bytes the other end has not acknowledged.
func pending(c *net.TCPConn) (bytes int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0 // it has ended
	}
	err = raw.Control(func(fd uintptr) { bytes, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	if err != nil {
		return 0
	}
	return bytes
}

// deafen drops every packet for a socket: a filter of one instruction that keeps none of the packet's bytes.
func deafen(t *testing.T, c syscall.Conn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		return // it has ended
	}
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing[0]})
	})
	if err == nil && failed != nil {
		t.Errorf("a socket cannot be given a filter: %v", failed)
	}
}
