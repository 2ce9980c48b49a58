package check

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// witness is a test that the threat model calls upon.
var witness = regexp.MustCompile("`(?:(?:Test|Fuzz)[A-Z][A-Za-z0-9]+|[a-z]+(?:[A-Z][a-z]+){2,})`")

func TestTheThreatModelCallsUponTestsThatAreThere(t *testing.T) {
	model, err := os.ReadFile(filepath.Join(deploy, "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") && !strings.Contains(path, "storagetest") {
			return err
		}
		content, err := os.ReadFile(path)
		tests.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	called := witness.FindAllString(string(model), -1)
	for _, name := range called {
		if name = strings.Trim(name, "`"); !strings.Contains(tests.String(), "func "+name+"(") {
			t.Errorf("there is no %s", name)
		}
	}
	if len(called) < 15 {
		t.Errorf("only %d tests are called upon: %v", len(called), called)
	}
}
