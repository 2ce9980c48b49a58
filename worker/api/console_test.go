package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestTheConsoleIsOnePageThatRunsNothingButItself(t *testing.T) {
	url := serve(t, full())
	a := do(t, http.MethodGet, url+"/", "")
	policy := a.header.Get("Content-Security-Policy")
	if a.status != http.StatusOK || !strings.HasPrefix(policy, "default-src 'none'; connect-src 'self'") || strings.Contains(policy, "unsafe") {
		t.Fatalf("%d, policy %q", a.status, policy)
	}
	for _, element := range []string{"script", "style"} {
		found := regexp.MustCompile(`(?s)<`+element+`[^>]*>(.*?)</`+element+`>`).FindAllStringSubmatch(a.raw, -1)
		if len(found) != 1 {
			t.Fatalf("%d elements %s", len(found), element)
		}
		sum := sha256.Sum256([]byte(found[0][1]))
		if want := element + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("the policy does not let the page's own %s: %s", element, policy)
		}
	}
	if outside := regexp.MustCompile(`(?i)(src|href)\s*=\s*["']?(https?:)?//|@import|url\(|\son[a-z]+\s*=|\sstyle\s*=|innerHTML`).FindString(a.raw); outside != "" {
		t.Errorf("the page loads or runs something else: %q", outside)
	}
	for _, header := range []string{"X-Frame-Options", "Referrer-Policy", "X-Content-Type-Options"} {
		if a.header.Get(header) == "" {
			t.Errorf("no header %s", header)
		}
	}
	for _, asked := range regexp.MustCompile(`get\("(/[^"]+)"\)`).FindAllStringSubmatch(a.raw, -1) {
		if got := do(t, http.MethodGet, url+asked[1], ""); got.status != http.StatusOK {
			t.Errorf("the page asks for %s, which answers %d", asked[1], got.status)
		}
	}
}
