package faulttest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/safebox/safebox/storage"
)

const (
	victimURL   = "SAFEBOX_FAULTTEST_URL"
	victimName  = "SAFEBOX_FAULTTEST_NAME"
	victimFirst = "SAFEBOX_FAULTTEST_FIRST" // a statement that it runs before anything else
)

// The exit codes of a victim that lives.
const (
	exitReady = 0
	exitLost  = 69 // its connection failed it
	exitWrong = 70
)

// limit is the longest that anything may take that a test waits for.
const limit = 60 * time.Second

// pause is slow work of a process.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Millisecond):
	}
}

// beVictim is the life of a victim: it opens the database, says so, waits for a line on its standard input, and
// initialises; it says when it leads.
func beVictim() int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit)
	defer cancel()
	name := os.Getenv(victimName)
	db, err := open(ctx, os.Getenv(victimURL), name, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitWrong
	}
	fmt.Println("open")
	if !bufio.NewScanner(os.Stdin).Scan() {
		return exitWrong
	}
	_, err = initialise(ctx, db, name, func(epoch int64) { fmt.Println("leading", epoch) })
	fmt.Fprintln(os.Stderr, "ended with", err)
	err = errors.Join(err, db.Close())
	switch class := storage.ClassOf(err); {
	case err == nil:
		return exitReady
	case class == storage.Connection || class == storage.AdminShutdown:
		return exitLost
	default:
		return exitWrong
	}
}

// victim is a running victim.
type victim struct {
	cmd   *osexec.Cmd
	lines chan string // what it says
	log   *journal
	ended chan struct{}
	begin func() error
}

// newVictim starts a victim and waits until it has opened the database.
func newVictim(t *testing.T, url, name string, env ...string) *victim {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{cmd: osexec.Command(exe), lines: make(chan string, 8), log: newJournal(), ended: make(chan struct{})}
	v.cmd.Env = append(os.Environ(), victimURL+"="+url, victimName+"="+name)
	v.cmd.Env = append(v.cmd.Env, env...)
	v.cmd.Stderr = v.log
	in, err := v.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v.begin = func() error { _, err := fmt.Fprintln(in, "begin"); return err }
	go func() {
		defer close(v.ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			v.lines <- s.Text()
		}
		close(v.lines)
		v.cmd.Wait() //nolint:errcheck // its state tells
	}()
	t.Cleanup(func() {
		v.signal(syscall.SIGKILL)
		<-v.ended
	})
	if line := v.says(t); line != "open" {
		t.Fatalf("the victim says %q instead of open; its log:\n%s", line, v.log.text())
	}
	return v
}

func (v *victim) signal(s syscall.Signal) { v.cmd.Process.Signal(s) } //nolint:errcheck // it may have ended

// over tells whether the victim has ended.
func (v *victim) over() bool {
	select {
	case <-v.ended:
		return true
	default:
		return false
	}
}

// says is the victim's next line, "" when it has ended.
func (v *victim) says(t *testing.T) string {
	t.Helper()
	select {
	case line := <-v.lines:
		return line
	case <-time.After(limit):
		t.Fatalf("the victim says nothing; its log:\n%s", v.log.text())
		return ""
	}
}

// leads waits until the victim leads.
func (v *victim) leads(t *testing.T) {
	t.Helper()
	if line := v.says(t); !strings.HasPrefix(line, "leading ") {
		t.Fatalf("the victim says %q instead of leading; its log:\n%s", line, v.log.text())
	}
}

// wait waits for the victim's end; a victim that was killed has -1.
func (v *victim) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-v.ended:
		return v.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatalf("the victim does not end; its log:\n%s", v.log.text())
		return 0
	}
}
