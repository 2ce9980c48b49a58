package api_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/api"
)

var quiet = slog.New(slog.DiscardHandler)

// listen binds a server on a free port, and gives it back when the test ends.
func listen(t *testing.T, o api.ServerOptions) *api.Server {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet
	}
	s, err := api.Listen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestATakenDefaultAddressGivesWayToAFreePort(t *testing.T) {
	var out logs
	first := listen(t, api.ServerOptions{Addr: "127.0.0.1:0", Explicit: true})
	second := listen(t, api.ServerOptions{Addr: first.Addr().String(), Logger: out.logger()})
	addr := second.Addr().(*net.TCPAddr)
	if second.Addr().String() == first.Addr().String() || !addr.IP.IsLoopback() {
		t.Errorf("got %s beside %s", second.Addr(), first.Addr())
	}
	if !strings.Contains(out.String(), first.Addr().String()) {
		t.Errorf("the log does not say which address was taken: %s", out.String())
	}
}

func TestAnAddressThatCannotBeServedIsAnErrorOfConfiguration(t *testing.T) {
	taken := listen(t, api.ServerOptions{Addr: "127.0.0.1:0", Explicit: true}).Addr().String()
	for name, c := range map[string]struct{ addr, says string }{
		"taken":              {taken, "another program listens there"},
		"no port":            {"127.0.0.1", "host:port"},
		"a bad port":         {"127.0.0.1:99999", "host:port"},
		"nobody's address":   {"192.0.2.1:0", "no such address"},
		"open to all":        {"0.0.0.0:0", "SAFEBOX_INGEST_TOKEN"},
		"open to all, short": {":0", "SAFEBOX_INGEST_TOKEN"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := api.Listen(t.Context(), api.ServerOptions{Addr: c.addr, Explicit: true, Logger: quiet})
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			var addrErr *api.AddrError
			if !errors.As(err, &addrErr) || !errors.Is(err, storage.ErrConfig) || addrErr.ExitCode() != 78 {
				t.Errorf("%T is no error of configuration", err)
			}
			for _, want := range []string{c.says, "SAFEBOX_HTTP_ADDR", c.addr} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestATokenOpensOtherAddresses(t *testing.T) {
	const token = "s3cret"
	s := listen(t, api.ServerOptions{Addr: "0.0.0.0:0", Explicit: true, IngestToken: token})
	if s.Addr().(*net.TCPAddr).IP.IsLoopback() {
		t.Errorf("bound to %s", s.Addr())
	}
}

func TestServeFinishesTheRequestsInHand(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	m := &memory{fail: func(ctx context.Context) error {
		close(arrived)
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	s := listen(t, api.ServerOptions{Addr: "127.0.0.1:0", Explicit: true, Grace: time.Minute})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, api.New(api.Options{Appender: m, Logger: quiet})) }()

	status := make(chan int, 1)
	go func() {
		res, err := http.Post("http://"+s.Addr().String()+"/v1/events", structured, strings.NewReader(credit("1", 1)))
		if err != nil {
			status <- 0
			return
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		status <- res.StatusCode
	}()
	<-arrived
	stop()
	// The door shuts first: nobody new comes in while the request in hand goes on.
	shut := make(chan struct{})
	go func() {
		defer close(shut)
		for {
			conn, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	<-shut
	close(release)
	if got := <-status; got != http.StatusCreated {
		t.Errorf("the request in hand was answered %d", got)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeCutsOffWhatOutlastsTheGrace(t *testing.T) {
	arrived, gone := make(chan struct{}), make(chan struct{})
	m := &memory{fail: func(ctx context.Context) error {
		close(arrived)
		<-ctx.Done()
		close(gone)
		return ctx.Err()
	}}
	s := listen(t, api.ServerOptions{Addr: "127.0.0.1:0", Explicit: true, Grace: time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, api.New(api.Options{Appender: m, Logger: quiet})) }()
	posted := make(chan error, 1)
	go func() {
		res, err := http.Post("http://"+s.Addr().String()+"/v1/events", structured, strings.NewReader(credit("1", 1)))
		if err == nil {
			res.Body.Close()
		}
		posted <- err
	}()
	<-arrived
	stop()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	<-gone
	if err := <-posted; err == nil {
		t.Error("the request was answered although it was cut off")
	}
}

func TestServeTellsWhenItsListenerIsGone(t *testing.T) {
	s := listen(t, api.ServerOptions{Addr: "127.0.0.1:0", Explicit: true})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), api.New(api.Options{Appender: &memory{}, Logger: quiet})); err == nil {
		t.Error("no error")
	}
}
