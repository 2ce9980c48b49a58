package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "github.com/safebox/safebox/storage/postgres" // registers the backend
	_ "github.com/safebox/safebox/storage/sqlite"   // registers the backend
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(supervise()) }

// echo is how long after the first signal another of its kind is the same request: timeout(1), for one, tells the program and
// then its whole process group.
const echo = 500 * time.Millisecond

// supervise runs the command. The first SIGINT or SIGTERM asks it to finish what it has in hand; the second, unless it is an
// echo, ends the program at once, whatever the command is doing.
func supervise() int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	done := make(chan int, 1)
	go func() {
		a := app{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv}
		done <- a.run(ctx, os.Args[1:])
	}()
	return await(done, signals, cancel, time.Now)
}

// await returns the command's exit code, or that of the signal which ends it.
func await(done <-chan int, signals <-chan os.Signal, cancel context.CancelCauseFunc, now func() time.Time) int {
	var first os.Signal
	var asked time.Time
	for {
		select {
		case code := <-done:
			return code
		case s := <-signals:
			switch {
			case first == nil:
				first, asked = s, now()
				cancel(interrupted{s})
			case s != first || now().Sub(asked) > echo:
				return interrupted{s}.ExitCode()
			}
		}
	}
}

// interrupted is why a command was cancelled.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string { return "interrupted: " + i.signal.String() }

// ExitCode is the one that shells give to a program that a signal ended.
func (i interrupted) ExitCode() int {
	if n, ok := i.signal.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return exitBug
}
