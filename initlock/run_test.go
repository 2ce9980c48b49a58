package initlock_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/initlock/locktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var options = initlock.Options{
	Digest: "d1", Revision: "r1", OldestCompatible: "r1", Name: "me", Logger: slog.New(slog.DiscardHandler),
}

func ready(r initlock.Record) initlock.Record {
	r.State, r.Epoch = initlock.Ready, 7
	return r
}

type passing struct{ error }

func (passing) Transient() bool { return true }
func (p passing) Unwrap() error { return p.error }

type coded struct{ code int }

func (c coded) Error() string { return fmt.Sprintf("coded %d", c.code) }
func (c coded) ExitCode() int { return c.code }

func TestWhatTheMarkerMeansOnArrival(t *testing.T) {
	for _, c := range []struct {
		name    string
		marker  initlock.Record
		force   bool
		outcome initlock.Outcome
		tries   int
	}{
		{"nothing: lead", initlock.Record{}, false, initlock.OutcomeLed, 1},
		{"ready with my digest: go on", ready(initlock.Record{Digest: "d1", Revision: "r1"}), false, initlock.OutcomeAlreadyReady, 0},
		{"ready with my digest, forced: lead", ready(initlock.Record{Digest: "d1", Revision: "r1"}), true, initlock.OutcomeLed, 1},
		{"ready with another seed: lead", ready(initlock.Record{Digest: "d0", Revision: "r1"}), false, initlock.OutcomeLed, 1},
		{"ready with an older schema: lead", ready(initlock.Record{Digest: "d0", Revision: "r0"}), false, initlock.OutcomeLed, 1},
		{"a newer schema that I may use: go on", ready(initlock.Record{Digest: "d2", Revision: "r2", OldestCompatible: "r1"}), false, initlock.OutcomeNewer, 0},
		{"a newer schema that I may use, forced: go on", ready(initlock.Record{Digest: "d2", Revision: "r2", OldestCompatible: "r1"}), true, initlock.OutcomeNewer, 0},
		{"a newer schema that I must not use: refuse", ready(initlock.Record{Digest: "d2", Revision: "r2", OldestCompatible: "r2"}), false, initlock.OutcomeFailed, 0},
		{"an old failure: lead", initlock.Record{State: initlock.Failed, Epoch: 7, Digest: "d1", Error: "old", Code: 65}, false, initlock.OutcomeLed, 1},
		{"left running by the dead: lead", initlock.Record{State: initlock.Running, Epoch: 7, Digest: "d1"}, false, initlock.OutcomeLed, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &locktest.Memory{}
			m.Set(c.marker)
			worked := 0
			o := options
			o.Force = c.force
			res, err := initlock.Run(context.Background(), m, m, o, func(context.Context, initlock.Lease) error {
				worked++
				return nil
			})
			if res.Outcome != c.outcome || (err != nil) != (c.outcome == initlock.OutcomeFailed) {
				t.Fatalf("%s, %v; want %s", res.Outcome, err, c.outcome)
			}
			if _, tries := m.Asked(); tries != c.tries || (worked == 1) != (c.outcome == initlock.OutcomeLed) {
				t.Errorf("asked for the lock %d times, want %d; worked %d times", tries, c.tries, worked)
			}
			if res.Outcome == initlock.OutcomeLed {
				got, _ := m.Read(context.Background())
				if got.State != initlock.Ready || got.Epoch != c.marker.Epoch+1 || got.Digest != "d1" || got.Revision != "r1" || got != res.Record {
					t.Errorf("left %+v, returned %+v", got, res.Record)
				}
			}
			var refused *initlock.IncompatibleError
			if errors.As(err, &refused) && (refused.ExitCode() != 78 || !strings.Contains(err.Error(), "r1") || !strings.Contains(err.Error(), "r2")) {
				t.Errorf("exit %d: %v", refused.ExitCode(), err)
			}
		})
	}
}

func TestHowWorkEnds(t *testing.T) {
	guard := fmt.Errorf("guard: %w", coded{65})
	for _, c := range []struct {
		name string
		work func() error
		code int
		want func(error) bool
	}{
		{"an error is returned and declared with its exit code", func() error { return guard }, 65, func(err error) bool { return errors.Is(err, guard) }},
		{"an error without a code is a bug", func() error { return io.EOF }, 70, func(err error) bool { return errors.Is(err, io.EOF) }},
		{"a panic is returned and declared as a bug", func() error { panic("no map") }, 70, func(err error) bool {
			var p *initlock.PanicError
			return errors.As(err, &p) && p.Value == "no map" && bytes.Contains(p.Stack, []byte("TestHowWorkEnds"))
		}},
		{"a panic with an error keeps the error", func() error { panic(io.EOF) }, 70, func(err error) bool { return errors.Is(err, io.EOF) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &locktest.Memory{}
			res, err := initlock.Run(context.Background(), m, m, options, func(context.Context, initlock.Lease) error { return c.work() })
			if !c.want(err) || res.Outcome != initlock.OutcomeFailed {
				t.Errorf("%s, %v", res.Outcome, err)
			}
			rec, _ := m.Read(context.Background())
			if rec.State != initlock.Failed || rec.Code != c.code || rec.Error != err.Error() {
				t.Errorf("left %+v", rec)
			}
			if _, held, _ := m.Holder(context.Background()); held {
				t.Error("the lock is still held")
			}
		})
	}
}

func TestALongErrorIsCutAndCleaned(t *testing.T) {
	m := &locktest.Memory{}
	_, err := initlock.Run(context.Background(), m, m, options, func(context.Context, initlock.Lease) error {
		return errors.New("a\x00b\xff" + strings.Repeat("é", 5000))
	})
	rec, _ := m.Read(context.Background())
	if err == nil || len(rec.Error) > 4100 || !utf8.ValidString(rec.Error) || strings.Contains(rec.Error, "\x00") || !strings.HasPrefix(rec.Error, "ab?éé") {
		t.Errorf("%d bytes: %.20q", len(rec.Error), rec.Error)
	}
}

func TestGoexitOfTheWorkFreesTheLock(t *testing.T) {
	m := &locktest.Memory{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = initlock.Run(context.Background(), m, m, options, func(context.Context, initlock.Lease) error {
			runtime.Goexit()
			return nil
		})
	}()
	<-done
	if _, held, _ := m.Holder(context.Background()); held {
		t.Error("the lock is still held")
	}
}

func TestAFencedLeaderSaysSo(t *testing.T) {
	m := &locktest.Memory{}
	res, err := initlock.Run(context.Background(), m, m, options, func(context.Context, initlock.Lease) error {
		m.Set(initlock.Record{State: initlock.Running, Epoch: 2, Digest: "d1", Holder: "other"})
		return nil
	})
	rec, _ := m.Read(context.Background())
	if !errors.Is(err, initlock.ErrFenced) || res.Outcome != initlock.OutcomeFailed || rec.Holder != "other" || rec.State != initlock.Running {
		t.Errorf("%v; left %+v", err, rec)
	}
}

// What a stopped leader leaves makes the next one lead, and fails nobody.
func TestALeaderThatIsToldToStopFailsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &locktest.Memory{}
		ctx, stop := context.WithCancel(context.Background())
		leader := start(ctx, m, options, func(ctx context.Context, _ initlock.Lease) error {
			<-ctx.Done()
			return ctx.Err()
		})
		synctest.Wait()
		waiter := start(context.Background(), m, options, nothing)
		synctest.Wait()
		stop()
		if e := <-leader; !errors.Is(e.err, context.Canceled) {
			t.Errorf("the leader: %v", e.err)
		}
		if e := <-waiter; e.err != nil || e.Outcome != initlock.OutcomeLed || e.Record.Epoch != 2 {
			t.Errorf("the waiter: %+v", e)
		}
	})
}

type ended struct {
	initlock.Result
	err error
}

func nothing(context.Context, initlock.Lease) error { return nil }

func start(ctx context.Context, m *locktest.Memory, o initlock.Options, work func(context.Context, initlock.Lease) error) <-chan ended {
	c := make(chan ended, 1)
	go func() {
		res, err := initlock.Run(ctx, m, m, o, work)
		c <- ended{res, err}
	}()
	return c
}

func TestAWaiterThatIsToldToStopStopsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &locktest.Memory{}
		if _, err := m.TryLock(t.Context(), "other"); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		o := options
		o.PollEvery = time.Hour
		waiter := start(ctx, m, o, nothing)
		synctest.Wait()
		began := time.Now()
		stop()
		if e := <-waiter; !errors.Is(e.err, context.Canceled) || time.Since(began) > 0 {
			t.Errorf("after %s: %v", time.Since(began), e.err)
		}
	})
}

// lines collects a log in JSON.
type lines struct {
	mu  sync.Mutex
	all []map[string]any
}

func (l *lines) Write(b []byte) (int, error) {
	var line map[string]any
	if err := json.Unmarshal(b, &line); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
	return len(b), nil
}

func (l *lines) of(text string) (found []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.HasPrefix(line["msg"].(string), text) {
			found = append(found, line)
		}
	}
	return found
}

func TestAWaiterLogsEveryTenSecondsForWhomItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &locktest.Memory{}
		leader := start(t.Context(), m, initlock.Options{Digest: "d1", Name: "leader", Logger: options.Logger}, func(ctx context.Context, _ initlock.Lease) error {
			initlock.Note(ctx, "building an index")
			<-time.After(35 * time.Second)
			return nil
		})
		synctest.Wait()
		began := time.Now().UTC()
		var log lines
		o := options
		o.Logger = slog.New(slog.NewJSONHandler(&log, nil))
		e := <-start(t.Context(), m, o, nothing)
		if e.err != nil || e.Outcome != initlock.OutcomeFollowed || e.Waited != 35*time.Second {
			t.Errorf("%+v", e)
		}
		still := log.of("still waiting")
		if len(still) != 3 {
			t.Fatalf("%d lines in 35 s: %v", len(still), still)
		}
		if l := still[0]; l["holder"] != "leader" || l["activity"] != "building an index" || l["since"] != began.Format(time.RFC3339Nano) {
			t.Errorf("%v", l)
		}
		<-leader
	})
}

func TestAWaiterIsReadyAsSoonAsTheMarkerChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &locktest.Memory{}
		leader := start(t.Context(), m, options, func(context.Context, initlock.Lease) error {
			<-time.After(time.Minute)
			return nil
		})
		synctest.Wait()
		began := time.Now()
		o := options
		o.PollEvery = time.Hour
		if e := <-start(t.Context(), m, o, nothing); e.err != nil || time.Since(began) != time.Minute {
			t.Errorf("after %s: %+v", time.Since(began), e)
		}
		<-leader
	})
}

func TestAWaitCostsTheDatabaseLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &locktest.Memory{}
		leader := start(t.Context(), m, options, func(context.Context, initlock.Lease) error {
			<-time.After(10 * time.Second)
			return nil
		})
		synctest.Wait()
		before, triedBefore := m.Asked()
		<-start(t.Context(), m, options, nothing)
		reads, tries := m.Asked()
		// Every 25 to 50 ms a look at the marker, every 250 ms one at the lock.
		if reads, tries = reads-before, tries-triedBefore; reads > 410 || tries > 45 {
			t.Errorf("%d reads and %d attempts in 10 s", reads, tries)
		}
		<-leader
	})
}

func TestErrorsOfTheDatabase(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		heals time.Duration // 0: never
		took  time.Duration // at most
		fails bool
	}{
		{"one that passes is waited out", passing{io.EOF}, 5 * time.Second, 8 * time.Second, false},
		{"one that should pass and does not ends the run in time", passing{io.EOF}, 0, 33 * time.Second, true},
		{"any other ends the run at once", io.EOF, 0, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &locktest.Memory{}
				m.Fail(c.err)
				if c.heals > 0 {
					time.AfterFunc(c.heals, func() { m.Fail(nil) })
				}
				began := time.Now()
				e := <-start(t.Context(), m, options, nothing)
				if took := time.Since(began); (e.err != nil) != c.fails || took > c.took || c.fails && !errors.Is(e.err, io.EOF) {
					t.Errorf("after %s: %+v", took, e)
				}
			})
		})
	}
}

func TestADatabaseThatFailsWhileWeWaitDoesNotEndTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &locktest.Memory{}
		leader := start(t.Context(), m, options, func(context.Context, initlock.Lease) error {
			<-time.After(40 * time.Second)
			return nil
		})
		synctest.Wait()
		time.AfterFunc(10*time.Second, func() { m.Fail(passing{io.EOF}) })
		time.AfterFunc(20*time.Second, func() { m.Fail(nil) })
		if e := <-start(t.Context(), m, options, nothing); e.err != nil || e.Outcome != initlock.OutcomeFollowed {
			t.Errorf("%+v", e)
		}
		<-leader
	})
}

// mute is a marker whose reads are never answered.
type mute struct {
	initlock.Marker
	asked int
}

func (m *mute) Read(ctx context.Context) (initlock.Record, error) {
	m.asked++
	<-ctx.Done()
	return initlock.Record{}, ctx.Err()
}

func TestAQuestionThatIsNeverAnsweredIsAskedAgainAndThenAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, silent := time.Now(), &mute{Marker: &locktest.Memory{}}
		_, err := initlock.Run(t.Context(), &locktest.Memory{}, silent, options, nothing)
		if err == nil || !errors.Is(err, context.DeadlineExceeded) || t.Context().Err() != nil {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); silent.asked < 3 || took > time.Minute {
			t.Errorf("asked %d times in %v", silent.asked, took)
		}
	})
}

func TestTheFailureOfAnotherBuildIsNotOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &locktest.Memory{}
		other := options
		other.Digest = "d0"
		leader := start(t.Context(), m, other, func(context.Context, initlock.Lease) error {
			<-time.After(time.Second)
			return io.EOF
		})
		synctest.Wait()
		if e := <-start(t.Context(), m, options, nothing); e.err != nil || e.Outcome != initlock.OutcomeLed {
			t.Errorf("%+v", e)
		}
		<-leader
	})
}
