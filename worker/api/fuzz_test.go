package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Of all that may stand in the header, the token alone lets a request in.
func FuzzToken(f *testing.F) {
	const token = "open-the-door"
	for _, header := range []string{"", "Bearer " + token, "bearer  " + token + " ", "Bearer", "Bearer x", "Basic " + token, token, "Bearer " + token + "\x00", "Bearer\t" + token} {
		f.Add(header, "127.0.0.1:8080")
	}
	shut, open := newGuard("events are taken", "SAFEBOX_INGEST_TOKEN", token), newGuard("events are taken", "SAFEBOX_INGEST_TOKEN")
	f.Fuzz(func(t *testing.T, header, host string) {
		req := httptest.NewRequest(http.MethodPost, "/v1/events", nil)
		req.Header["Authorization"] = []string{header}
		req.Host = host
		given, ok := bearer(header)
		switch p := shut.admit(req); {
		case (p == nil) != (ok && given == token):
			t.Fatalf("%q: let in %t", header, p == nil)
		case p != nil && p.Status != http.StatusUnauthorized:
			t.Fatalf("%q: %d", header, p.Status)
		}
		// Where it does not know on which address it was reached, nothing is let in without a token.
		if open.admit(req) == nil {
			t.Fatalf("host %q: let in", host)
		}
		loopback(host)
	})
}

// A content type is one of those that are taken, or answered with what is.
func FuzzMedia(f *testing.F) {
	for _, kind := range []string{structured, batched, "", "application/json", structured + "; charset=utf-8", structured + "; charset=latin1", "a/b; c=\"", "TEXT/plain;;"} {
		f.Add(kind, "")
	}
	f.Add(structured, "gzip")
	f.Fuzz(func(t *testing.T, kind, encoding string) {
		req := httptest.NewRequest(http.MethodPost, "/v1/events", nil)
		req.Header["Content-Type"], req.Header["Content-Encoding"] = []string{kind}, []string{encoding}
		media, p := mode(req)
		if (p == nil) == (media == "") {
			t.Fatalf("%q: %q, %v", kind, media, p)
		}
		if p != nil && p.Status != http.StatusUnsupportedMediaType {
			t.Fatalf("%q: %d", kind, p.Status)
		}
	})
}
