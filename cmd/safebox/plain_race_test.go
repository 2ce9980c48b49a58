//go:build race

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

var plain struct {
	sync.Mutex
	exe string
	err error
}

// plainProgram is the program without the race detector, under which a process takes many times as long to start: it is built
// when it is first asked for, with the flags of other tests' builds, so that the compiler does everything once. The race detector
// has the packages under their own tests, and what raced says.
func plainProgram() (string, error) {
	plain.Lock()
	defer plain.Unlock()
	if plain.exe != "" || plain.err != nil {
		return plain.exe, plain.err
	}
	var dir string
	if dir, plain.err = os.MkdirTemp("", "safebox-program-"); plain.err != nil {
		return "", plain.err
	}
	exe := filepath.Join(dir, "safebox")
	c := exec.CommandContext(context.Background(), "go", "build", "-buildvcs=false", "-o", exe, ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	c.Stderr = os.Stderr
	if plain.err = c.Run(); plain.err == nil {
		plain.exe = exe
	}
	return plain.exe, plain.err
}

// removePlainProgram is for after the last test.
func removePlainProgram() {
	if plain.exe != "" {
		_ = os.RemoveAll(filepath.Dir(plain.exe))
	}
}
