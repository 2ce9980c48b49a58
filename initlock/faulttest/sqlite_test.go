package faulttest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/safebox/safebox/storage/dbtest"
)

func filePath(url string) string { return strings.TrimPrefix(url, "sqlite:///") }
func lockPath(url string) string { return filePath(url) + ".init.lock" }

// lockText is what the lock file says, "" while there is none.
func lockText(t *testing.T, url string) string {
	t.Helper()
	text, err := os.ReadFile(lockPath(url))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhateverHappensToTheLockFileOneProcessLeads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		tamper func(path string) error
	}{
		{"it is unlinked", os.Remove},
		{"it is replaced by another file", func(path string) error {
			other := path + ".other"
			if err := os.WriteFile(other, []byte("holder: nobody\n"), 0o600); err != nil {
				return err
			}
			if err := os.Chmod(other, 0o666); err != nil { // whatever the umask
				return err
			}
			return os.Rename(other, path)
		}},
		{"it is made read-only", func(path string) error { return os.Chmod(path, 0o444) }},
		{"it was read-only before", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, owner := placeForAnyone(t)
			if c.tamper == nil {
				c.tamper = func(string) error { return fs.ErrNotExist }
				readOnly(t, lockPath(url), owner)
			}
			tampering, stop := context.WithCancel(t.Context())
			done := make(chan int)
			go func() {
				n := 0
				for tampering.Err() == nil {
					if err := c.tamper(lockPath(url)); err == nil {
						n++
					} else if !errors.Is(err, fs.ErrNotExist) {
						t.Error(err)
					}
					pause(tampering)
				}
				done <- n
			}()
			all := make([]*running, 8)
			for i := range all {
				all[i] = startAs(t, owner, url, "init")
			}
			for i, p := range all {
				if code := p.wait(t); code != 0 {
					t.Errorf("process %d ended with %d:\n%s", i, code, p.log.text())
				}
			}
			stop()
			t.Logf("tampered with it %d times", <-done)
			last := startAs(t, owner, url, "init")
			if code := last.wait(t); code != 0 {
				t.Errorf("the next start ended with %d:\n%s", code, last.log.text())
			}
			db := behind(t, url)
			if got := one(t, db, "SELECT state || ' ' || epoch FROM safebox_init"); got != "ready 1" {
				t.Errorf("the marker says %s: more than one process led", got)
			}
			untouched := dbtest.SQLite(t)
			ok(t, untouched, "init")
			same(t, describe(t, behind(t, untouched), "sqlite"), describe(t, db, "sqlite"))
		})
	}
}

func readOnly(t *testing.T, path string, owner *syscall.Credential) {
	t.Helper()
	err := os.WriteFile(path, nil, 0o444)
	if owner != nil {
		err = errors.Join(err, os.Chown(path, int(owner.Uid), int(owner.Gid)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// placeForAnyone is a SQLite file to be, in a folder that belongs to a user who is not root: root is refused nothing.
func placeForAnyone(t *testing.T) (url string, owner *syscall.Credential) {
	t.Helper()
	dir, err := os.MkdirTemp("", "safebox-fault-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // it is in the folder for temporary files
	if os.Geteuid() == 0 {
		nobody, err := osuser.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, uidErr := strconv.ParseUint(nobody.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(nobody.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			t.Fatal(err)
		}
		owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
	}
	return "sqlite:///" + filepath.Join(dir, "database.db"), owner
}

func TestAFolderThatIsNotWritableIsRefusedWithWhatToCheck(t *testing.T) {
	url, owner := placeForAnyone(t)
	if err := os.Chmod(filepath.Dir(filePath(url)), 0o555); err != nil {
		t.Fatal(err)
	}
	p := startAs(t, owner, url, "worker")
	if code := p.wait(t); code != 78 {
		t.Errorf("exit %d", code)
	}
	for _, part := range []string{filePath(url), "permission denied", "DATABASE", "may write there"} {
		if !strings.Contains(p.log.text(), part) {
			t.Errorf("the error lacks %q:\n%s", part, p.log.text())
		}
	}
}

func TestTheLockFileSaysWhoLeadsAndIsFreedByADeath(t *testing.T) {
	url := dbtest.SQLite(t)
	v := newVictim(t, url, "the-leader")
	if err := v.begin(); err != nil {
		t.Fatal(err)
	}
	v.leads(t)
	v.signal(syscall.SIGSTOP) // it is not done before it dies
	text := lockText(t, url)
	for _, part := range []string{"holder: the-leader\n", "pid: " + strconv.Itoa(v.cmd.Process.Pid) + "\n", "since: " + time.Now().UTC().Format("2006-")} {
		if !strings.Contains(text, part) {
			t.Errorf("the lock file lacks %q:\n%s", part, text)
		}
	}
	w := start(t, url, "init")
	w.await(t, "another process is initialising the database")
	v.signal(syscall.SIGKILL)
	v.wait(t)
	died := time.Now()
	if code := w.wait(t); code != 0 {
		t.Fatalf("exit %d:\n%s", code, w.log.text())
	}
	t.Logf("another was done %v after the death", w.when.Sub(died).Round(time.Millisecond))
	w.await(t, "this process initialises the database", `"epoch":2`)
	if text := lockText(t, url); text != "" {
		t.Errorf("after the work the lock file says:\n%s", text)
	}
}
