package api_test

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// words splits a command as a shell does: at spaces, outside quotes.
var words = regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"]+`)

// Every curl command of README.md is run, against a server that knows what the examples speak of.
func TestTheExamplesOfTheReadmeRun(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(readme), "\\\n", " ")
	url := serve(t, full())
	shown := map[string]bool{}
	for _, command := range regexp.MustCompile(`(?m)^\$ curl .*$`).FindAllString(text, -1) {
		method, path, body, headers := http.MethodGet, "", "", []string{}
		args := words.FindAllString(command, -1)
		for i := range args {
			args[i] = strings.Trim(args[i], `'"`)
		}
		for i := 2; i < len(args); i++ {
			switch {
			case args[i] == "-H":
				i++
				name, value, _ := strings.Cut(args[i], ": ")
				headers = append(headers, name, value)
			case args[i] == "--data", args[i] == "--data-binary":
				i++
				method, body = http.MethodPost, args[i]
			case strings.HasPrefix(args[i], "http://127.0.0.1:8080"):
				path = strings.TrimPrefix(args[i], "http://127.0.0.1:8080")
			case args[i] != "-sS":
				t.Errorf("%s: what is %q?", command, args[i])
			}
		}
		switch body {
		case "@event.json":
			body = credit("1", 1)
		case "@events.json":
			body = "[" + credit("2", 1) + "]"
		}
		path = strings.ReplaceAll(path, "%2Fshop/2", "%2Fshop/1") // the one that this server has
		a := do(t, method, url+path, body, headers...)
		if a.status >= 300 {
			t.Errorf("%s: %d %s", command, a.status, a.raw)
		}
		shown[a.operation] = true
	}
	for operation := range operations() {
		if _, path, _ := strings.Cut(operation, " "); !shown[operation] && path != "/" {
			t.Errorf("README.md has no example of %s", operation)
		}
	}
}
