package dbtest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// serverOwner is the user to run the server as: PostgreSQL refuses to run as root. Nil: the user of this process.
func serverOwner() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody to run it as")
}

// initialise makes the data directory, a copy of the pristine one.
func (s *PostgreSQLServer) initialise(initdb string, owner *syscall.Credential) error {
	from, err := pristine.make(initdb, owner)
	if err != nil {
		return err
	}
	return runIn(s.dir, owner, "cp", "-a", from, s.data())
}

// pristine is the data directory as initdb leaves it, of which every server of the process gets a copy.
var pristine initialised

type initialised struct {
	mu      sync.Mutex
	dir     string // "" before the first server
	janitor *janitor
}

func (i *initialised) make(initdb string, owner *syscall.Credential) (data string, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	data = filepath.Join(i.dir, "data")
	if i.dir != "" {
		return data, nil
	}
	dir, err := os.MkdirTemp(memory(), "safebox-initdb-")
	if err != nil {
		return "", err
	}
	if i.janitor, err = newJanitor(dir); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	data = filepath.Join(dir, "data")
	err = runIn(dir, owner, initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if err == nil {
		const hba = "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
		err = os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(hba), 0o644)
	}
	if err != nil {
		i.janitor.finish()
		return "", err
	}
	i.dir = dir
	return data, nil
}

func (i *initialised) remove() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dir != "" {
		i.janitor.finish()
		i.dir = ""
	}
}

// runIn gives a folder to the servers' owner and runs a program there as that user.
func runIn(dir string, owner *syscall.Credential, program string, args ...string) error {
	if owner != nil {
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s failed: %w\n%s", filepath.Base(program), err, out)
	}
	return nil
}

// process is a running server.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// spawn starts a server. It dies when this process does: on Linux the kernel sends the signal when the thread that
// started it ends, so one thread stays with it until its end.
func spawn(args []string, owner *syscall.Credential, env []string, log io.Writer) (*process, error) {
	p := &process{cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner, Setpgid: true} // Ctrl-C is for the tests
	dieWithParent(p.cmd.SysProcAttr)
	p.cmd.Dir = "/"
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how a server ends is the test's doing
		}
	}()
	return p, <-started
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// awaitAnswer waits until the server takes connections.
func (p *process) awaitAnswer(url string, limit time.Duration) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		err := administer(url, "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return errors.New("it ended while it started")
		case <-deadline.C:
			return fmt.Errorf("it did not answer within %s: %w", limit, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// end signals the server and waits for its end; one that does not end in time is killed.
func (p *process) end(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig) // it may have ended by itself
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.killAll()
	}
}

// killAll kills the postmaster first, so that it starts nothing new, and then its children.
func (p *process) killAll() {
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	children := childrenOf(p.pid())
	_ = p.cmd.Process.Kill()
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-p.done
	for _, pid := range children {
		awaitDeath(pid)
	}
}

// awaitDeath waits until a killed process has let go of what it had: a server that starts on the same folder before that
// finds the shared memory in use.
func awaitDeath(pid int) {
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		if fields := statOf(pid); len(fields) == 0 || fields[0] == "Z" {
			return
		}
		<-time.After(time.Millisecond)
	}
}

// statOf is what /proc tells of a process from its state on; nothing when there is no such process, or no /proc.
func statOf(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	// pid (name) state ppid …, and the name may hold anything
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
}

// childrenOf lists the processes whose parent is the given one, where there is a /proc.
func childrenOf(parent int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	var pids []int
	for _, stat := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err != nil {
			continue
		}
		if fields := statOf(pid); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// janitor is a companion process that outlives this one by a moment: when the pipe to it closes, it ends the server
// whose pid it was told last and removes the folder.
type janitor struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

const janitorScript = `while read -r line; do pid=$line; done
if [ -n "$pid" ] && [ "$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)" = "$pid" ]; then kill -QUIT "$pid" 2>/dev/null; fi
n=0
while [ $n -lt 100 ] && [ -e "$1/data/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.05; n=$((n+1)); done
rm -rf "$1"`

func newJanitor(dir string) (*janitor, error) {
	j := &janitor{cmd: exec.Command("/bin/sh", "-c", janitorScript, "janitor", dir)}
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if j.pipe, err = j.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return j, j.cmd.Start()
}

func (j *janitor) watch(pid int) { _, _ = fmt.Fprintln(j.pipe, pid) }

func (j *janitor) finish() {
	_ = j.pipe.Close()
	_ = j.cmd.Wait() // what it could not remove stays in the folder for temporary files
}

// freePort is a TCP port of the loopback address that nobody uses at this moment.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close() //nolint:errcheck // nobody connected
	return l.Addr().(*net.TCPAddr).Port, nil
}
