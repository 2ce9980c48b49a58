package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/event"
)

// A setting with which the program seals secrets, and one that a rotation makes of it.
const (
	secretKey = event.KeyVariable + "=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	rotated   = event.KeyVariable + "=Ly4tLCsqKSgnJiUkIyIhIB8eHRwbGhkYFxYVFBMSERA=,AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
)

func secretLine(id, secret string) string {
	return fmt.Sprintf(`{"specversion":"1.0","source":"/s","id":%q,"type":"safebox.wallet.nwc_rotated.v1","subject":%q,"data":{"nwc_secret":%q}}`,
		id, event.EncodeNpub([32]byte{7}), secret)
}

func TestSecretsAreRefusedWithoutAKeyAndSealedWithOne(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	file := s.write("events.jsonl", []byte(secretLine("1", "hunter2")+"\n"+strings.Replace(secretLine("2", "hunter3"), `{"nwc_secret":"hunter3"}`, `{"amount":1}`, 1)+"\n"))
	credit := strings.Replace(secretLine("3", "x"), `wallet.nwc_rotated.v1`, `funds.credited.v1`, 1)
	credit = strings.Replace(credit, `{"nwc_secret":"x"}`, `{"amount":1}`, 1)

	r := s.run("event", "publish", file)
	if r.code != exitData || !strings.Contains(r.stderr, "line 1: data.nwc_secret: ") || !strings.Contains(r.stderr, event.KeyVariable) || strings.Contains(r.stdout+r.stderr, "hunter2") {
		t.Errorf("without a key: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	ps := s.workers(1)
	status, body := ask(t, http.MethodPost, ps[0].address()+"/v1/events", "application/cloudevents+json", "", []byte(secretLine("1", "hunter2")))
	if status != http.StatusUnprocessableEntity || !strings.Contains(body, `"field":"data.nwc_secret"`) || !strings.Contains(body, event.KeyVariable) {
		t.Errorf("over HTTP without a key: %d %s", status, body)
	}
	status, body = ask(t, http.MethodPost, ps[0].address()+"/v1/events", "application/cloudevents-batch+json", "", []byte("["+secretLine("1", "hunter2")+","+credit+"]"))
	if status != http.StatusOK || !strings.Contains(body, `"refused":1`) || !strings.Contains(body, `"appended":1`) {
		t.Errorf("a batch without a key: %d %s", status, body)
	}
	drain(t, ps)

	one := s.write("one.jsonl", []byte(secretLine("1", "hunter2")+"\n"))
	for i, c := range []struct{ env, want string }{{secretKey, "appended"}, {secretKey, "duplicate"}, {rotated, "duplicate"}} {
		if r := s.runWith([]string{c.env}, "", "event", "publish", one); r.code != 0 || !strings.Contains(r.stdout, c.want) {
			t.Errorf("publication %d: exit %d\n%s%s", i, r.code, r.stdout, r.stderr)
		}
	}
	var data string
	if err := s.sql().QueryRow("SELECT data FROM event_log WHERE id = '1'").Scan(&data); err != nil || !strings.HasPrefix(data, `{"nwc_secret":{"sealed":"v1.`) {
		t.Errorf("the log has %s, %v", data, err)
	}
	if r := s.runWith([]string{rotated}, "", "worker", "--until-idle"); r.code != 0 {
		t.Errorf("exit %d\n%s", r.code, r.stderr)
	}
	if out := s.ok("event", "show", "1"); !strings.Contains(out, "***") || strings.Contains(out, "sealed") {
		t.Errorf("it shows as %s", out)
	}
	s.ok("audit") // which needs no key
	if r := s.run("audit", "--rebuild"); r.code != exitConfig || !strings.Contains(r.stderr, event.KeyVariable) {
		t.Errorf("a rebuild without the key: exit %d\n%s", r.code, r.stderr)
	}
	if r := s.runWith([]string{rotated}, "", "audit", "--rebuild"); r.code != 0 {
		t.Errorf("a rebuild with it: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

func TestAWrongSecretKeyIsNotShown(t *testing.T) {
	const bad = "0123456789abcdef0123456789abcdef"
	s := newSite(t, dbtest.SQLite(t), event.KeyVariable+"="+bad)
	if r := s.run("status"); r.code != exitConfig || !strings.Contains(r.stderr, event.KeyVariable) || strings.Contains(r.stderr, bad) {
		t.Errorf("exit %d\n%s", r.code, r.stderr)
	}
}
