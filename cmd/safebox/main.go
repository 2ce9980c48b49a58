package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	_ "github.com/safebox/safebox/storage/postgres" // registers the backend
	_ "github.com/safebox/safebox/storage/sqlite"   // registers the backend
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(supervise()) }

// supervise runs the command. The first SIGINT or SIGTERM asks it to finish what it has in hand; the second ends the
// program at once, whatever the command is doing.
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
	for asked := false; ; asked = true {
		select {
		case code := <-done:
			return code
		case s := <-signals:
			if asked {
				return interrupted{s}.ExitCode()
			}
			cancel(interrupted{s})
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
