package api

import (
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"net/http"
	"regexp"
)

// consolePage is one file with everything in it. It holds no data: its script asks /v1/status and /v1/parked.
//
//go:embed console.html
var consolePage []byte

// console serves the page for people who see to the cluster, under a policy that lets nothing run or load but what is in it.
func console() http.Handler {
	policy := "default-src 'none'; connect-src 'self'; img-src data:; script-src " + hashed("script") + "; style-src " + hashed("style") +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		_, _ = w.Write(consolePage) // a client that went away needs no answer
	})
}

// hashed is the source expression of the page's one inline element of a kind: Content Security Policy level 3, section 2.3.1.
func hashed(element string) string {
	content := regexp.MustCompile(`(?s)<` + element + `>(.*)</` + element + `>`).FindSubmatch(consolePage)
	sum := sha256.Sum256(content[1])
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
