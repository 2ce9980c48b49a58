package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/event"
)

func TestExitCodesFollowFromTheTypeOfTheError(t *testing.T) {
	statement := func(c storage.Class) error { return &storage.Error{Statement: "s", Class: c, Err: errors.New("x")} }
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"no error", nil, 0},
		{"a command line that is not understood", &usageError{errors.New("x")}, exitUsage},
		{"a guard", &migrations.GuardError{}, exitData},
		{"nothing found", event.ErrNotFound, exitData},
		{"no server", storage.ErrUnreachable, exitUnreachable},
		{"a lost connection", statement(storage.Connection), exitUnreachable},
		{"a server that shuts down", statement(storage.AdminShutdown), exitUnreachable},
		{"a lock that was not had in time", statement(storage.LockTimeout), exitAgain},
		{"a busy file", statement(storage.Busy), exitAgain},
		{"no connection free in time", &storage.PoolTimeoutError{}, exitAgain},
		{"a drain that took too long", &worker.DrainError{}, exitAgain},
		{"a backup that could not be taken", &storage.BackupError{Err: errors.New("x")}, exitAgain},
		{"a backup that could not be restored", &storage.RestoreError{Err: errors.New("x")}, exitData},
		{"a database that is not initialised", storage.ErrNotInitialised, exitAgain},
		{"a deadline", context.DeadlineExceeded, exitAgain},
		{"a wrong variable", &settingError{Name: "X", Err: errors.New("x")}, exitConfig},
		{"a wrong URL", storage.ErrConfig, exitConfig},
		{"a leader that failed with its own code", &initlock.LeaderError{Code: exitData}, exitData},
		{"a leader that failed without one", &initlock.LeaderError{}, exitBug},
		{"a statement that is wrong", statement(storage.Other), exitBug},
		{"anything else", errors.New("x"), exitBug},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := exitCode(c.err); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
			if c.err == nil {
				return
			}
			if got := exitCode(fmt.Errorf("around it: %w", c.err)); got != c.want {
				t.Errorf("wrapped: %d, want %d", got, c.want)
			}
		})
	}
}
