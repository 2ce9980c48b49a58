package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// replica is a worker process of the demo.
type replica struct {
	name  string
	cmd   *exec.Cmd
	log   *tail
	ended chan struct{} // closed when the process has ended; err is set then
	err   error
}

// herd is the worker processes of the demo.
type herd struct {
	replicas []*replica
	release  chan struct{}
	once     sync.Once
}

// launch starts n workers at once. They get the environment env and, of their own, a name.
func launch(executable string, n int, env []string) (*herd, error) {
	h := &herd{release: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel ends a child when the thread that started it ends (see tie), so this thread must last.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- h.start(executable, n, env)
		<-h.release
	}()
	if err := <-started; err != nil {
		h.kill()
		return nil, err
	}
	return h, nil
}

func (h *herd) start(executable string, n int, env []string) error {
	for i := range n {
		r := &replica{name: fmt.Sprintf("replica-%d", i+1), log: &tail{}, ended: make(chan struct{})}
		r.cmd = exec.Command(executable, "worker", "--instance", r.name) // this program itself
		r.cmd.Env = env
		r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
		tie(r.cmd)
		if err := r.cmd.Start(); err != nil {
			return fmt.Errorf("starting %s: %w", r.name, err)
		}
		h.replicas = append(h.replicas, r)
		go func() {
			r.err = r.cmd.Wait()
			close(r.ended)
		}()
	}
	return nil
}

func (r *replica) pid() int { return r.cmd.Process.Pid }

// signal sends a signal; a process that has ended already does not mind.
func (r *replica) signal(s syscall.Signal) error {
	if err := r.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to %s (pid %d): %w", s, r.name, r.pid(), err)
	}
	return nil
}

// alive tells whether the process has not ended.
func (r *replica) alive() bool {
	select {
	case <-r.ended:
		return false
	default:
		return true
	}
}

// died returns an error when a replica has ended that should be running.
func (h *herd) died(except *replica) error {
	for _, r := range h.replicas {
		if r != except && !r.alive() {
			return fmt.Errorf("%s ended before its time (%v); the end of its log:\n%s", r.name, r.err, r.log.last(20)) //nolint:errorlint // shown, not passed on
		}
	}
	return nil
}

// stop drains the replicas that are left with SIGTERM and expects each to end with status 0.
func (h *herd) stop(ctx context.Context, patience time.Duration) (stopped int, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var left []*replica
	for _, r := range h.replicas {
		if r.alive() {
			left = append(left, r)
			if err := r.signal(syscall.SIGTERM); err != nil {
				return 0, err
			}
		}
	}
	for _, r := range left {
		select {
		case <-r.ended:
			if r.err != nil {
				return 0, fmt.Errorf("%s did not drain cleanly after SIGTERM (%w); the end of its log:\n%s", r.name, r.err, r.log.last(20))
			}
		case <-ctx.Done():
			return 0, fmt.Errorf("%s still runs %v after SIGTERM; the end of its log:\n%s", r.name, patience, r.log.last(20))
		}
	}
	return len(left), nil
}

// kill ends whatever still runs and waits for it.
func (h *herd) kill() {
	for _, r := range h.replicas {
		r.signal(syscall.SIGKILL) //nolint:errcheck // it is gone then
	}
	for _, r := range h.replicas {
		<-r.ended
	}
	h.once.Do(func() { close(h.release) })
}
