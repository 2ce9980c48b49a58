package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/safebox/safebox/storage"
)

// DefaultAddr is where a replica listens unless it is told otherwise.
const DefaultAddr = "127.0.0.1:8080"

// The limits of a connection.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	// writeTimeout counts from the end of the header: reading the body, the append and the answer are all within it.
	writeTimeout   = readTimeout + appendTimeout + 10*time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
)

// ServerOptions say where to listen.
type ServerOptions struct {
	Addr string // host:port; empty: DefaultAddr
	// Explicit says that somebody chose Addr: it is an error then if it is taken. Else another port of the loopback
	// address is as good, so that several replicas on one machine need no set-up.
	Explicit bool
	// IngestToken is that of Options; it is looked at only to refuse an open door on an address that others can reach.
	IngestToken string
	// HeaderTimeout and ReadTimeout bound how long a request's header, and all of it, may take to come; zero: 5 s and 30 s.
	HeaderTimeout, ReadTimeout time.Duration
	// Grace is how long requests in hand may take to finish when the server stops; zero: 5 s.
	Grace  time.Duration
	Logger *slog.Logger // nil: slog.Default
}

// A Server is bound to its address from Listen on, and answers during Serve.
type Server struct {
	listener net.Listener
	options  ServerOptions
	logger   *slog.Logger
}

// An AddrError says why the server cannot listen as it was told. It is a storage.ErrConfig, for the exit code.
type AddrError struct {
	Addr   string
	Reason string // what is wrong, and what to do
	Err    error  // what the system said; may be nil
}

func (e *AddrError) Error() string {
	return fmt.Sprintf("cannot listen on %q (SAFEBOX_HTTP_ADDR): %s", e.Addr, e.Reason)
}

// Unwrap gives what the system said and the kind of the error.
func (e *AddrError) Unwrap() []error {
	if e.Err == nil {
		return []error{storage.ErrConfig}
	}
	return []error{storage.ErrConfig, e.Err}
}

// ExitCode is sysexits' EX_CONFIG.
func (e *AddrError) ExitCode() int { return 78 }

// Listen binds the address. Its error is an *AddrError.
func Listen(ctx context.Context, o ServerOptions) (*Server, error) {
	if o.Addr == "" {
		o.Addr = DefaultAddr
	}
	if o.Grace == 0 {
		o.Grace = 5 * time.Second
	}
	if o.HeaderTimeout == 0 {
		o.HeaderTimeout = readHeaderTimeout
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = readTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", o.Addr)
	if errors.Is(err, syscall.EADDRINUSE) && !o.Explicit {
		o.Logger.Info("http: default address is taken, taking a free port instead", "taken", o.Addr)
		ln, err = lc.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, &AddrError{Addr: o.Addr, Reason: explain(err), Err: err}
	}
	if o.IngestToken == "" && !loopback(ln.Addr().String()) {
		_ = ln.Close()
		return nil, &AddrError{Addr: o.Addr, Reason: "other machines can reach this address, and without a token anyone there could " +
			"post events; set SAFEBOX_INGEST_TOKEN, or listen on a loopback address such as " + DefaultAddr}
	}
	return &Server{listener: ln, options: o, logger: o.Logger}, nil
}

// explain says what an operator can do about an address that cannot be bound.
func explain(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there; stop it, or choose another port (port 0 takes any free one)"
	case errors.Is(err, syscall.EACCES):
		return "this user may not bind that port; choose one of 1024 or above"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no such address"
	default:
		return fmt.Sprintf("expected host:port, such as %s (%v)", DefaultAddr, err)
	}
}

// Addr is the address that the server got.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close gives the address back without serving. After Serve it does nothing.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Serve answers until ctx ends; then it takes no more requests, lets those in hand finish within the grace time, and
// returns nil. It may be called once. The requests' contexts outlive ctx, so that an append in hand can be answered.
func (s *Server) Serve(ctx context.Context, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: s.options.HeaderTimeout,
		ReadTimeout:       s.options.ReadTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// OPTIONS * is a path that there is not, like any other.
		DisableGeneralOptionsHandler: true,

		ErrorLog:    slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	s.logger.Info("http: listening", "addr", s.Addr().String())
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Serve(s.listener) }()
	select {
	case err := <-stopped:
		return fmt.Errorf("http server on %s stopped: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.Grace)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		s.logger.Warn("http: requests in hand did not finish in time and are cut off", "grace", s.options.Grace)
		_ = srv.Close()
	}
	if err := <-stopped; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("http server on %s stopped: %w", s.Addr(), err)
	}
	return nil
}
