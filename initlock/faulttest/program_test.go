package faulttest

import (
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/safebox/safebox/storage/dbtest"
)

// built is the program, built once a run into a folder that any user may enter.
var built struct {
	sync.Once
	dir, path string
	err       error
}

func program(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "safebox-program-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "safebox")
		if built.err = dbtest.Build(built.path); built.err == nil {
			built.err = os.Chmod(built.dir, 0o755)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

func removeProgram() {
	if built.dir != "" {
		os.RemoveAll(built.dir) //nolint:errcheck // it is in the folder for temporary files
	}
}

// running is the program, started.
type running struct {
	cmd   *osexec.Cmd
	out   *journal // standard output
	log   *journal // standard error
	ended chan struct{}
	when  time.Time // it ended
}

// start starts the program on a database.
func start(t *testing.T, url string, args ...string) *running {
	t.Helper()
	return startAs(t, nil, url, args...)
}

// startAs is start as another user.
func startAs(t *testing.T, user *syscall.Credential, url string, args ...string) *running {
	t.Helper()
	r := &running{cmd: osexec.Command(program(t), args...), out: newJournal(), log: newJournal(), ended: make(chan struct{})}
	r.cmd.Dir = "/"
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "SAFEBOX_") && !strings.HasPrefix(setting, "DATABASE=") {
			r.cmd.Env = append(r.cmd.Env, setting)
		}
	}
	r.cmd.Env = append(r.cmd.Env, "DATABASE="+url, "SAFEBOX_HTTP_ADDR=127.0.0.1:0")
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.cmd.Wait() //nolint:errcheck // its state tells
		r.when = time.Now()
		close(r.ended)
	}()
	t.Cleanup(func() {
		r.signal(syscall.SIGKILL)
		<-r.ended
	})
	return r
}

func (r *running) signal(s syscall.Signal) { r.cmd.Process.Signal(s) } //nolint:errcheck // it may have ended

// wait waits for the end and returns the exit code.
func (r *running) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-r.ended:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatalf("the process does not end; its log:\n%s", r.log.text())
		return 0
	}
}

// await waits for a line of the log with all the texts.
func (r *running) await(t *testing.T, texts ...string) string {
	t.Helper()
	line := r.log.await(r.ended, texts...)
	if line == "" {
		t.Fatalf("no line with %q in the log:\n%s", texts, r.log.text())
	}
	return line
}

// ok runs the program to its end, which must be a good one, and returns what it printed.
func ok(t *testing.T, url string, args ...string) string {
	t.Helper()
	r := start(t, url, args...)
	if code := r.wait(t); code != 0 {
		t.Fatalf("safebox %s: exit %d\n%s%s", strings.Join(args, " "), code, r.out.text(), r.log.text())
	}
	return r.out.text()
}
