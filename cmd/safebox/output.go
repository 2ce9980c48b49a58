package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

// printing gives a command the flag --json.
func (a *app) printing(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&a.json, "json", false, "print one JSON document")
	return c
}

// print answers with the value as JSON, or with the text for people.
func (a *app) print(value any, people func() error) error {
	if !a.json {
		return people()
	}
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

// printf prints a line for people.
func (a *app) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(a.out, format+"\n", args...)
	return err
}

// list makes an empty list of a nil one: JSON says [] then, and not null.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
