package torture

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// disk mounts a small disk in memory, which is gone when the test ends.
func disk(t *testing.T, megabytes string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "safebox-disk-")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, megabytes+",mode=0777"); err != nil {
		t.Fatalf("mounting a disk takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
		os.Remove(dir) //nolint:errcheck // it is in the folder for temporary files
	})
	return dir
}

// fill takes all the room that a disk has left.
func fill(disk, balloon string) error {
	f, err := os.Create(balloon)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<16)
	for size := len(block); size > 0; {
		if _, err := f.Write(block[:size]); err != nil {
			size /= 2
		}
	}
	return nil
}
