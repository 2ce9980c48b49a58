package worker

import (
	"context"

	"github.com/safebox/safebox/worker/bus"
)

// webServer is the HTTP server of a replica, running.
type webServer struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // readable after done
}

// serve starts the HTTP server, if there is one. It outlives the end of ctx until stop, so that a draining replica answers.
func (r *Replica) serve(ctx context.Context, b *bus.Bus) *webServer {
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &webServer{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		if r.options.HTTP == nil {
			<-serving.Done()
			return
		}
		w.err = r.options.HTTP(serving, Probes{Ready: r.Checks, Stuck: r.vitals.stuck}, b)
	}()
	return w
}

// stop ends the server after the requests in hand and returns its error.
func (w *webServer) stop() error {
	w.cancel()
	<-w.done
	return w.err
}
