package main

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestASecondSignalEndsTheProgramUnlessItEchoesTheFirst(t *testing.T) {
	const term, interrupt = syscall.SIGTERM, syscall.SIGINT
	for name, c := range map[string]struct {
		second os.Signal
		after  time.Duration
		code   int // 0: it goes on until the command ends
	}{
		"the same at once":     {term, 0, 0},
		"the same while it is": {term, echo, 0},
		"the same later":       {term, echo + time.Millisecond, 128 + int(term)},
		"another at once":      {interrupt, 0, 128 + int(interrupt)},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			done, signals, code := make(chan int), make(chan os.Signal), make(chan int, 1)
			var clock time.Time
			go func() {
				code <- await(done, signals, cancel, func() time.Time {
					defer func() { clock = clock.Add(c.after) }()
					return clock
				})
			}()
			signals <- term
			signals <- c.second
			if c.code == 0 {
				done <- 0
			}
			if got := <-code; got != c.code {
				t.Errorf("exit %d instead of %d", got, c.code)
			}
			if cause := context.Cause(ctx); !errors.Is(cause, interrupted{term}) {
				t.Errorf("cancelled with %v", cause)
			}
		})
	}
}
