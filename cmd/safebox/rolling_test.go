package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// publisher gives one replica at a time batches of its own part of a script, as fast as they are answered but ten a second at
// most. Every request has to succeed.
type publisher struct {
	t        *testing.T
	address  chan string // of the replica to go on with; "" pauses
	quit     chan struct{}
	done     chan struct{}
	paused   chan struct{} // told after each ""
	part     []json.RawMessage
	appended atomic.Int64
	failed   atomic.Int64
}

func publishTo(t *testing.T, part []json.RawMessage) *publisher {
	p := &publisher{t: t, part: part, address: make(chan string), quit: make(chan struct{}), done: make(chan struct{}), paused: make(chan struct{})}
	go p.run()
	return p
}

const publishedAtOnce = 10

func (p *publisher) run() {
	defer close(p.done)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	client := http.Client{Timeout: limit}
	defer client.CloseIdleConnections()
	address := ""
	for at := 0; ; {
		select {
		case <-p.quit:
			return
		case address = <-p.address:
			client.CloseIdleConnections() // those to the replica before
			if address == "" {
				p.paused <- struct{}{}
			}
			continue
		case <-tick.C:
		}
		if address == "" || at+publishedAtOnce > len(p.part) {
			continue
		}
		var sum struct{ Appended, Duplicates, Conflicts, Refused int }
		resp, err := client.Post(address+"/v1/events", "application/cloudevents-batch+json", bytes.NewReader(batch(p.part[at:at+publishedAtOnce]))) //nolint:noctx // the client has a timeout
		if err == nil {
			err = json.NewDecoder(resp.Body).Decode(&sum)
			resp.Body.Close()
		}
		if err != nil || resp.StatusCode != http.StatusOK || sum.Appended+sum.Duplicates != publishedAtOnce {
			p.failed.Add(1)
			p.t.Errorf("a request to %s failed: %v, %+v", address, err, sum)
		}
		p.appended.Add(int64(sum.Appended))
		at += publishedAtOnce
	}
}

func (p *publisher) use(address string) { p.address <- address }

func (p *publisher) pause() {
	p.address <- ""
	<-p.paused
}

func (p *publisher) stop() {
	close(p.quit)
	<-p.done
}

// lateness watches how long the oldest event has waited at worst.
type lateness struct{ worst atomic.Int64 }

func (l *lateness) watch(ctx context.Context, s *site) (stopped <-chan struct{}) {
	u, err := storage.ParseURL(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	db, err := storage.Open(ctx, storage.Options{URL: u, Role: "test", Instance: "watching", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer db.Close()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if at, err := db.OldestPending(ctx, event.Topic, ledgerGroup); err == nil && !at.IsZero() {
				l.worst.Store(max(l.worst.Load(), int64(time.Since(at))))
			}
		}
	}()
	return done
}

// reset forgets the worst so far, and tells it.
func (l *lateness) reset() time.Duration { return time.Duration(l.worst.Swap(0)) }

// readyz is the status of a replica's /readyz; 0 where nobody answers.
func readyz(address string) int {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: limit}
	resp, err := client.Get(address + "/readyz") //nolint:noctx // the client has a timeout
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// As an orchestrator does it: the replica is taken out of the service, told to end, waited for, and another takes its place
// when it says that it is ready. In the long form each replica is replaced three times.
func aRollingRestart(t *testing.T) {
	const rounds = 3
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		script := demo.NewScript(41, 30_000)
		ps := s.workers(3)
		post(t, ps[0], script.Setup)
		s.idle()
		ctx, cancel := context.WithCancel(t.Context())
		var late lateness
		watched := late.watch(ctx, s)
		defer func() {
			cancel()
			<-watched
		}()
		var publishers []*publisher
		for i, p := range ps {
			part := len(script.Activity) / len(ps)
			eventually(t, "a replica is ready", func() (bool, string) { return readyz(p.address()) == http.StatusOK, "" })
			publishers = append(publishers, publishTo(t, script.Activity[i*part:(i+1)*part]))
			publishers[i].use(p.address())
		}
		published := func() (n int64) {
			for _, p := range publishers {
				n += p.appended.Load()
			}
			return n
		}
		eventually(t, "the load has gone on for a while", func() (bool, string) { return published() >= 150, fmt.Sprint(published()) })
		usual := late.reset() // what this machine takes, with whatever else it does at the moment

		for range rounds {
			for i := range ps {
				s.replace(ps, i, publishers[i])
			}
		}
		worst := late.reset()
		for _, p := range publishers {
			p.stop()
		}
		s.idle()
		audit, r := answer[ledger.Audit](s, "audit")
		if want := published() + int64(len(script.Setup)); !audit.OK || r.code != 0 || audit.Events != want || audit.Pending != 0 || audit.Parked != 0 {
			t.Errorf("audit of %d events that were answered for: exit %d, %+v", want, r.code, audit)
		}
		t.Logf("%d events while %d replicas were replaced; the oldest waited for %s at worst, %s before", published(), rounds*len(ps), worst, usual)
		if worst > usual+2*time.Second {
			t.Errorf("an event waited for %s, and for %s at most while no replica was replaced", worst, usual)
		}
		drain(t, ps)
	})
}

// replace replaces one replica while its fellows are watched: they are ready at every moment. It is ready until it is told to
// end, never again, and its successor from when it says so.
func (s *site) replace(ps []*process, i int, load *publisher) {
	s.t.Helper()
	old, address := ps[i], ps[i].address()
	quit := make(chan struct{})
	var watching sync.WaitGroup
	for n, fellow := range ps {
		if n == i {
			continue
		}
		at := fellow.address()
		watching.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-quit:
					return
				case <-tick.C:
				}
				if status := readyz(at); status != http.StatusOK {
					s.t.Errorf("a replica that nobody touched answers %d", status)
				}
			}
		})
	}
	load.pause()
	if status := readyz(address); status != http.StatusOK {
		s.t.Errorf("before it is told to end it answers %d", status)
	}
	old.signal(syscall.SIGTERM)
	old.await("draining")
	if status := readyz(address); status == http.StatusOK {
		s.t.Error("it says that it is ready while it drains")
	}
	if code := old.wait(); code != 0 {
		s.t.Errorf("exit %d\n%s", code, old.log.text())
	}
	if status := readyz(address); status != 0 {
		s.t.Errorf("when it has ended somebody answers %d", status)
	}
	ps[i] = s.start(nil, "worker")
	next := ps[i].address()
	eventually(s.t, "the successor is ready", func() (bool, string) {
		said := readyz(next)
		return said == http.StatusOK, fmt.Sprint(said)
	})
	load.use(next)
	before := load.appended.Load()
	eventually(s.t, "the successor takes events", func() (bool, string) { return load.appended.Load() > before, "" })
	close(quit)
	watching.Wait()
}
