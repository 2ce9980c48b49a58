package migrations

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each row of the README's tables of promises names the test that holds it.
func TestEveryRowOfTheReadmesPromisesHasItsTest(t *testing.T) {
	tests := map[string]bool{}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	commands, err := filepath.Glob("../cmd/safebox/*_test.go") // of the same promises as one types them
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, commands...) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`).FindAllStringSubmatch(string(content), -1) {
			tests[found[1]] = true
		}
	}
	content, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	promises := map[string]int{"Alembic | here": 14, "what | how": 12, "what | exit code": 23} // rows a table has at least
	comment := regexp.MustCompile(`<!-- (Test\w+) -->`)
	table := ""
	for _, line := range strings.Split(string(content), "\n") {
		row, isRow := strings.CutPrefix(line, "| ")
		switch {
		case !isRow:
			table = ""
		case table == "":
			table = "none"
			for head := range promises {
				if strings.HasPrefix(row, head) {
					table = head
				}
			}
		case table == "none" || strings.HasPrefix(row, "---"):
		default:
			promises[table]--
			if found := comment.FindStringSubmatch(row); found == nil {
				t.Errorf("no test is named: %s", line)
			} else if !tests[found[1]] {
				t.Errorf("there is no %s: %s", found[1], line)
			}
		}
	}
	for head, missing := range promises {
		if missing > 0 {
			t.Errorf("the table %q has %d rows less than it promises", head, missing)
		}
	}
}
