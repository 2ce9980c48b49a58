// Command generate writes the dashboards and the rules.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/safebox/safebox/deploy/watch"
)

func main() {
	to := flag.String("to", "deploy", "the folder deploy of the repository")
	flag.Parse()
	if err := generate(*to); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(to string) error {
	files, err := watch.Files()
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(to, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
