package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/event"
)

// app is one run of the program: where it reads and prints, and what it was told.
type app struct {
	in     io.Reader
	out    io.Writer
	err    io.Writer
	getenv func(string) string

	conf     config
	log      *slog.Logger
	instance string
	named    string // the name that a flag gives this replica
	json     bool
	begun    bool // the arguments were understood and a command has begun
}

// run executes the command that the arguments name and returns the exit code.
func (a *app) run(ctx context.Context, args []string) (code int) {
	defer func() {
		if p := recover(); p != nil {
			a.complain(fmt.Errorf("a bug: %v\n%s", p, debug.Stack()))
			code = exitBug
		}
	}()
	a.log = slog.New(slog.DiscardHandler)
	root := a.root() //nolint:contextcheck // commands get their context when they run
	root.SetArgs(countable(args))
	err := root.ExecuteContext(ctx)
	if err != nil && !a.begun {
		err = &usageError{err}
	}
	if err != nil && errors.Is(err, context.Canceled) {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
	}
	if err != nil {
		a.complain(err)
	}
	return exitCode(err)
}

// complain prints an error: what went wrong and where, then what to do. An argument in the wrong place may be in it, and a
// secret in that.
func (a *app) complain(err error) {
	text := "safebox: " + strings.TrimRight(err.Error(), "\n") + "\n"
	if todo := advice(err); todo != "" {
		text += "  " + todo + "\n"
	}
	text = password.ReplaceAllString(event.WithoutPrivateKeys(text), "$1***@")
	io.WriteString(a.err, text) //nolint:errcheck // there is nobody left to tell
}

// password is that of a URL somewhere in a text.
var password = regexp.MustCompile(`(://[^\s:@/"]*:)[^\s"]*@`)

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "safebox",
		Short: "The worker cluster of the Safebox wallet service",
		Long: "safebox prepares the wallet database, processes wallet events on any number of replicas, and answers questions\n" +
			"about wallets. Every setting is a variable of the environment with a flag of the same meaning; the flag wins.",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.begun = true
			return a.configure(cmd)
		},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	registerFlags(root.PersistentFlags())
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.AddCommand(
		a.workerCommand(), a.initCommand(), a.demoCommand(), a.benchCommand(), a.eventCommand(), a.walletCommand(), a.parkedCommand(),
		a.guardCommand(), a.auditCommand(), a.statusCommand(), a.doctorCommand(), a.healthcheckCommand(), a.migrateCommand(),
		a.backupCommand(), a.restoreCommand(), a.versionCommand(),
	)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "completion":
			group(c)
		case "help":
			strict(c)
		}
	}
	return group(root)
}

// unconfigured marks commands that need no configuration, so that a wrong one does not keep them from answering.
const unconfigured = "unconfigured"

// configure reads the settings and starts the log.
func (a *app) configure(cmd *cobra.Command) error {
	if cmd.Annotations[unconfigured] != "" || builtIn(cmd) {
		return nil
	}
	conf, err := loadConfig(cmd.Flags(), a.getenv)
	if err != nil {
		return err
	}
	a.conf, a.instance = conf, instanceName()
	text := conf.LogFormat == "text" || conf.LogFormat == "" && terminal.Is(a.err)
	options := &slog.HandlerOptions{Level: conf.LogLevel, ReplaceAttr: readable}
	var out slog.Handler = slog.NewJSONHandler(a.err, options)
	if text {
		out = slog.NewTextHandler(a.err, options)
	}
	a.log = slog.New(fields{Handler: out, instance: func() string { return a.instance }})
	slog.SetDefault(a.log)
	return nil
}

// readable writes durations as people do, 1.5s, in JSON as well, and without the digits that nobody reads.
func readable(_ []string, attr slog.Attr) slog.Attr {
	if attr.Value.Kind() != slog.KindDuration {
		return attr
	}
	d := attr.Value.Duration()
	step := time.Microsecond
	if d.Abs() >= time.Millisecond {
		step = time.Millisecond
	}
	return slog.String(attr.Key, d.Round(step).String())
}

// builtIn tells whether a command is one of cobra's own: completion, help, and what the shell asks while one types.
func builtIn(cmd *cobra.Command) bool {
	for c := cmd; c != nil; c = c.Parent() {
		if c.Name() == "completion" || c.Name() == "help" || strings.HasPrefix(c.Name(), cobra.ShellCompRequestCmd) {
			return true
		}
	}
	return false
}

// quiet is the log of commands that answer people: only what they should know.
func (a *app) quiet() *slog.Logger {
	if a.conf.LogLevel < slog.LevelInfo {
		return a.log
	}
	return slog.New(atLeast{a.log.Handler(), slog.LevelWarn})
}

// atLeast drops the records of a log that are below a level.
type atLeast struct {
	slog.Handler
	level slog.Level
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(attrs), h.level}
}

func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.level}
}

// instanceName names this process among the replicas: its host, its process id, and a few random letters, because
// containers on different machines may share the first two.
func instanceName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	if len(host) > 32 {
		host = host[:32]
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), letters(4))
}

// ledgerGroup is the consumer group whose progress the commands show.
const ledgerGroup = worker.Group
