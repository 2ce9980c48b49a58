package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/event"
)

// crush is a load of HTTP clients of three kinds.
type crush struct {
	steady   int // each on a connection of its own, one event after the other
	slow     int // each promises a large batch, and sends a byte now and then
	vanish   int // each sends an event and leaves before it is answered
	events   int // of each steady client
	resident float64
}

// A replica under many clients answers all that are patient, is not held up by slow ones, forgets those that left, and takes no
// more memory for them than it should. The long form has 1,000 connections that send events, and 400 others.
func TestManyClientsGetTheirAnswersAndTakeLittleMemory(t *testing.T) {
	t.Parallel()
	c := crush{steady: 40, slow: 20, vanish: 20, events: 3, resident: 400 << 20} // with the race detector, whose shadow counts too
	if os.Getenv("SAFEBOX_TEST_LONG") != "" {
		c = crush{steady: 1000, slow: 200, vanish: 200, events: 20, resident: 300 << 20}
	}
	s := newSite(t, dbtest.PostgreSQL(t))
	p := s.workers(1)[0]
	address := strings.TrimPrefix(p.address(), "http://")
	npub := event.EncodeNpub([32]byte{3})
	post(t, p, [][]byte{fmt.Appendf(nil, `{"specversion":"1.0","source":"/load","id":"open","type":%q,"subject":%q,"data":{"npub":%q,"handle":"load","home_relay":"r","onboard_code":"c"}}`,
		event.TypeWalletRegistered, npub, npub)})
	credit := func(id string) []byte {
		return fmt.Appendf(nil, `{"specversion":"1.0","source":"/load","id":%q,"type":%q,"subject":%q,"data":{"amount":1}}`, id, event.TypeFundsCredited, npub)
	}
	before := p.metrics()

	over := make(chan struct{})
	var slow sync.WaitGroup
	for range c.slow {
		slow.Go(func() { dribble(address, over) })
	}
	var clients sync.WaitGroup
	var taken, turnedAway atomic.Int64
	for i := range c.vanish {
		clients.Go(func() { leave(address, credit(fmt.Sprint("gone-", i))) })
	}
	began := time.Now()
	for i := range c.steady {
		clients.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := http.Client{Transport: transport, Timeout: limit}
			for n := range c.events {
				for {
					resp, err := client.Post("http://"+address+"/v1/events", "application/cloudevents+json", bytes.NewReader(credit(fmt.Sprintf("%d-%d", i, n)))) //nolint:noctx // it has a time limit
					if err != nil {
						t.Errorf("client %d: %v", i, err)
						return
					}
					io.Copy(io.Discard, resp.Body) //nolint:errcheck // the status is what counts
					resp.Body.Close()
					if resp.StatusCode == http.StatusCreated || resp.StatusCode == http.StatusOK {
						taken.Add(1)
						break
					}
					if resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
						t.Errorf("client %d: %s", i, resp.Status)
						return
					}
					turnedAway.Add(1)
					<-time.After(100 * time.Millisecond) // less than it asked for
				}
			}
		})
	}
	clients.Wait()
	took := time.Since(began)
	during := p.metrics()
	close(over)
	slow.Wait()
	t.Logf("%d connections and %d others: %d events in %v, %.0f a second; %d answers to come again; %.0f MiB resident, %.0f before",
		c.steady, c.slow+c.vanish, taken.Load(), took.Round(time.Millisecond), float64(taken.Load())/took.Seconds(), turnedAway.Load(),
		during["process_resident_memory_bytes"]/(1<<20), before["process_resident_memory_bytes"]/(1<<20))
	if want := int64(c.steady * c.events); taken.Load() != want {
		t.Errorf("%d of %d events were taken", taken.Load(), want)
	}
	if got := during["process_resident_memory_bytes"]; got > c.resident {
		t.Errorf("%.0f MiB are resident under load", got/(1<<20))
	}
	eventually(t, "what the clients held is given back", func() (bool, string) {
		after := p.metrics()
		files, routines := after["process_open_fds"]-before["process_open_fds"], after["go_goroutines"]-before["go_goroutines"]
		return files < 50 && routines < 100, fmt.Sprintf("%v files and %v goroutines more than before", files, routines)
	})
	s.idle()
	var applied, twice int64
	err := s.sql().QueryRow(`SELECT count(*), count(*) - count(DISTINCT l.id) FROM event_log l JOIN ledger_entry e USING (partition, position)
		WHERE l.source = '/load' AND l.id NOT LIKE 'gone-%' AND l.id <> 'open' AND e.outcome = 'applied'`).Scan(&applied, &twice)
	if err != nil || applied != taken.Load() || twice != 0 {
		t.Errorf("%d events were taken, %d were applied, %d twice, %v", taken.Load(), applied, twice, err)
	}
	s.ok("audit")
}

// dribble promises a large batch and sends a byte of it now and then, until the others are done or the replica has enough of it.
func dribble(address string, over <-chan struct{}) {
	conn, err := net.Dial("tcp", address) //nolint:noctx // a loopback address
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: %s\r\nContent-Type: application/cloudevents-batch+json\r\nContent-Length: 16000000\r\n\r\n[", address)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		if _, err := conn.Write([]byte(" ")); err != nil {
			return
		}
	}
}

// leave sends an event and goes before it is answered.
func leave(address string, body []byte) {
	conn, err := net.Dial("tcp", address) //nolint:noctx // a loopback address
	if err != nil {
		return
	}
	w := bufio.NewWriter(conn)
	fmt.Fprintf(w, "POST /v1/events HTTP/1.1\r\nHost: %s\r\nContent-Type: application/cloudevents+json\r\nContent-Length: %d\r\n\r\n%s", address, len(body), body)
	w.Flush() //nolint:errcheck // who leaves does not look back
	conn.Close()
}
