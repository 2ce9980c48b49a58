package main

import (
	"crypto/rand"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// usageError is a command line that cannot be understood.
type usageError struct{ Err error }

func (e *usageError) Error() string { return e.Err.Error() }
func (e *usageError) Unwrap() error { return e.Err }

// ExitCode is that of wrong usage.
func (e *usageError) ExitCode() int { return exitUsage }

// Advice says where to look.
func (e *usageError) Advice() string {
	return "`safebox --help` and `safebox COMMAND --help` say what there is"
}

// group makes a command that only holds others refuse what it does not know, instead of printing its help with success.
func group(c *cobra.Command) *cobra.Command {
	c.SuggestionsMinimumDistance = 2
	c.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		problem := fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			problem = fmt.Errorf("%w; did you mean %s?", problem, strings.Join(near, " or "))
		}
		return problem
	}
	c.Annotations = map[string]string{unconfigured: "yes"}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		cmd.SetOut(cmd.ErrOrStderr())
		if err := cmd.Help(); err != nil {
			return err
		}
		var names []string
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				names = append(names, sub.Name())
			}
		}
		return &failure{Code: exitUsage, Err: fmt.Errorf("%q needs a command: %s", cmd.CommandPath(), strings.Join(names, ", "))}
	}
	return c
}

// strict makes cobra's help command refuse what it does not know, instead of showing the help of something else.
func strict(help *cobra.Command) {
	show := help.Run
	help.Run = nil
	help.RunE = func(cmd *cobra.Command, args []string) error {
		found, rest, err := cmd.Root().Find(args)
		if err != nil || len(rest) > 0 {
			return &usageError{fmt.Errorf("there is no command %q", strings.Join(append([]string{"safebox"}, args...), " "))}
		}
		if found.HasParent() || len(args) == 0 {
			show(cmd, args)
		}
		return nil
	}
}

// count is a target of safebox migrate that counts down from where the database is.
var count = regexp.MustCompile(`^-[0-9]+$`)

// countable lets the commands of safebox migrate take -1 as Alembic's do, where it would else be read as a flag.
func countable(args []string) []string {
	i := slices.IndexFunc(args, count.MatchString)
	if i < 0 || !slices.Contains(args[:i], "migrate") || slices.Contains(args[:i], "--") {
		return args
	}
	rest := slices.Concat(args[:i], args[i+1:])
	return append(rest, "--", args[i])
}

// exactly is cobra.ExactArgs with the names of the arguments in its message.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return fmt.Errorf("%q takes %s, and got %d arguments", cmd.CommandPath(), strings.Join(names, " "), len(args))
		}
		return nil
	}
}

// atMost is cobra.MaximumNArgs with the names of the arguments in its message.
func atMost(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return fmt.Errorf("%q takes at most %s, and got %d arguments", cmd.CommandPath(), strings.Join(names, " "), len(args))
		}
		return nil
	}
}

// none refuses arguments.
func none(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q takes no arguments, and got %q", cmd.CommandPath(), args)
	}
	return nil
}

// letters makes n random lower-case letters.
func letters(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = 'a' + b[i]%26
	}
	return string(b)
}
