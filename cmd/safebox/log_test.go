package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/event"
)

// loggedFields finds the names of the fields in a file's calls of a logger, with where each stands.
func loggedFields(t *testing.T, path string) map[string]gotoken.Position {
	t.Helper()
	set := gotoken.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	first := map[string]int{"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "DebugContext": 2, "InfoContext": 2, "WarnContext": 2, "ErrorContext": 2, "With": 0}
	found := map[string]gotoken.Position{}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		from, ok := first[method.Sel.Name]
		if !ok || len(call.Args) < from+2 || (len(call.Args)-from)%2 != 0 {
			return true
		}
		for i := from; i < len(call.Args); i += 2 {
			if name, ok := call.Args[i].(*ast.BasicLit); ok && name.Kind == gotoken.STRING {
				if text, err := strconv.Unquote(name.Value); err == nil {
					found[text] = set.Position(name.Pos())
				}
			}
		}
		return true
	})
	return found
}

func TestEveryFieldOfTheLogIsInItsList(t *testing.T) {
	doc, err := os.ReadFile("../../worker/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(doc), "# The log")
	listed := map[string]bool{}
	for _, word := range strings.FieldsFunc(list, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		listed[word] = true
	}
	calls := 0
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", "bench", "torture", "deploy", "dbtest", "storagetest", "locktest", "faulttest", "demo":
				return fs.SkipDir // no part of a replica
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		for name, at := range loggedFields(t, path) {
			calls++
			if !listed[name] {
				t.Errorf("%s: the field %q is not in the list of worker/doc.go: use its name there for the same thing, or add it", at, name)
			}
		}
		return nil
	})
	if err != nil || calls < 50 {
		t.Errorf("%d fields were found, %v", calls, err)
	}
}

func TestTheLogIsQuietUnderLoad(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		p := s.workers(1)[0]
		script := demo.NewScript(43, 3000)
		post(t, p, script.Setup)
		for from := 0; from < len(script.Activity); from += 500 {
			post(t, p, script.Activity[from:min(from+500, len(script.Activity))])
		}
		s.idle()
		drain(t, []*process{p})
		entries := 0
		for line := range strings.Lines(p.log.text()) {
			var entry struct{ Level, Msg, Instance string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Instance == "" || strings.Count(line, `"instance"`) != 1 {
				t.Errorf("a line without the name of the process, or with two: %s", line)
			}
			entries++
		}
		if entries > 15 {
			t.Errorf("%d lines for %d events:\n%s", entries, len(script.Setup)+len(script.Activity), p.log.text())
		}
	})
}

// Everything that a program says, with every secret given to it in every way that may go wrong.
func TestNoSecretIsEverTold(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		const token, password, wrong = "token-xyzzy-of-ingest", "password-xyzzy-of-keeper", "password-xyzzy-mistyped"
		owner := newSite(t, url)
		owner.ok("init")
		keeper := url
		if owner.dialect() == storage.PostgreSQL {
			role := "keeper_" + letters(8)
			owner.exec("CREATE ROLE "+role+" LOGIN PASSWORD '"+password+"'", "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "+role,
				"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "+role)
			t.Cleanup(func() { owner.in(t).drop(role) })
			_, after, _ := strings.Cut(url, "@")
			keeper = "postgresql://" + role + ":" + password + "@" + after
		}
		// An index of somebody's own, that two secrets break: the server's DETAIL would show the value.
		owner.exec("CREATE UNIQUE INDEX of_somebody ON nwcsecret (substr(nwc_secret, 1, 12))")
		s := newSite(t, keeper, secretKey, "SAFEBOX_INGEST_TOKEN="+token, "SAFEBOX_LOG_LEVEL=debug")
		p := s.start(nil, "worker")
		p.await(nowReady)
		var told []string // all that was said
		tell := func(status int, body string) int {
			told = append(told, body)
			return status
		}
		eventually(t, "the worker is ready", func() (bool, string) {
			return readyz(p.address()) == http.StatusOK, ""
		})
		wallets := [2]string{event.EncodeNpub([32]byte{81}), event.EncodeNpub([32]byte{82})}
		line := func(id, typ, subject, data string) string {
			return fmt.Sprintf(`{"specversion":"1.0","source":"/secrets","id":%q,"type":"safebox.%s.v1","subject":%q,"data":%s}`, id, typ, subject, data)
		}
		var published []string
		for i, npub := range wallets {
			published = append(published,
				line(fmt.Sprint("r", i), "wallet.registered", npub, fmt.Sprintf(`{"npub":%q,"handle":"w%d","home_relay":"wss://r.example","onboard_code":"x","access_key":"secret-xyzzy-key-%d","emergency_code":"secret-xyzzy-emergency-%d"}`, npub, i, i, i)),
				// One of the two is rejected: the other has the key.
				line(fmt.Sprint("k", i), "wallet.access_key_rotated", npub, `{"access_key":"secret-xyzzy-rotated"}`),
				line(fmt.Sprint("n", i), "wallet.nwc_rotated", npub, fmt.Sprintf(`{"nwc_secret":"secret-xyzzy-nwc-%d"}`, i)))
		}
		say := func(kind, given, body string) int {
			status, answer := ask(t, http.MethodPost, p.address()+"/v1/events", kind, given, []byte(body))
			return tell(status, answer)
		}
		const one, many = "application/cloudevents+json", "application/cloudevents-batch+json"
		if status := say(many, token, "["+strings.Join(published, ",")+"]"); status != http.StatusOK {
			t.Fatalf("publishing: %d %s", status, told[len(told)-1])
		}
		if status := say(one, token, strings.Replace(published[2], "secret-xyzzy-nwc-0", "secret-xyzzy-nwc-other", 1)); status != http.StatusConflict {
			t.Errorf("a conflict: %d", status)
		}
		for _, bad := range []string{`{"nwc_secret":["secret-xyzzy-list"]}`, `{"nwc_secret":"secret-xyzzy-\u0007"}`, `{"nwc_secret":{"secret-xyzzy-member":1}}`} {
			if status := say(one, token, line("bad", "wallet.nwc_rotated", wallets[0], bad)); status != http.StatusUnprocessableEntity {
				t.Errorf("a refusal: %d", status)
			}
		}
		say(one, token+"-mistyped", published[0])
		s.idle()
		p.await("it is parked")
		for _, args := range [][]string{
			{"status"},
			{"doctor"},
			{"parked", "list"},
			{"parked", "list", "--json"},
			{"parked", "retry", "--all"},
			{"event", "tail"},
			{"event", "show", "n1"},
			{"wallet", "show", "w0"},
			{"wallet", "history", "w0"},
			{"wallet", "list", "--json"},
			{"audit"},
			{"audit", "--rebuild"},
			{"guard"},
		} {
			r := s.run(args...)
			told = append(told, r.stdout, r.stderr)
		}
		for _, database := range []string{
			strings.Replace(keeper, password, wrong, 1), "mysql://keeper:" + wrong + "@127.0.0.1/db", "postgresql://keeper:" + wrong + "@127.0.0.1:port/db",
			"postgresql://keeper:" + wrong + "@" + deserted + "/db?connect_timeout=1",
		} {
			for _, args := range [][]string{{"worker", "--until-idle"}, {"doctor"}} {
				r := s.runWith([]string{"DATABASE=" + database, "DB_POOL_TIMEOUT_SECONDS=1"}, "", args...)
				told = append(told, r.stdout, r.stderr)
			}
		}
		_, metrics := ask(t, http.MethodGet, p.address()+"/metrics", "", "", nil)
		journal := p.log.text()
		told = append(told, metrics, journal)
		for _, text := range told {
			if at := strings.Index(text, "xyzzy"); at >= 0 {
				t.Errorf("a secret is told: …%s…", text[max(0, at-300):min(len(text), at+100)])
			}
		}
		for _, want := range []string{`"statement":"store_secrets"`, `"class":"unique"`, `"level":"DEBUG"`} {
			if !strings.Contains(journal, want) {
				t.Errorf("the log at debug lacks %s: the test proves little\n%s", want, journal)
			}
		}
	})
}
