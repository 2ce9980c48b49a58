package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guarded lets a request through that carries the bearer token; without a token, one from this machine.
func guarded(token string, h http.Handler) http.Handler {
	if token == "" {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if reason := notLocal(r); reason != "" {
				named(http.StatusForbidden, "token-required", "No token is configured",
					reason+"; set SAFEBOX_INGEST_TOKEN on the server and send it as a bearer token").write(w)
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := bearer(r.Header.Get("Authorization"))
		if !ok {
			plain(http.StatusUnauthorized, "send the ingest token: Authorization: Bearer <token>").
				with("WWW-Authenticate", `Bearer realm="safebox"`).write(w)
			return
		}
		// Hashes of equal length: the comparison tells nothing, not even the length of the right token.
		if got := sha256.Sum256([]byte(given)); subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			plain(http.StatusUnauthorized, "the bearer token is not the server's ingest token").
				with("WWW-Authenticate", `Bearer realm="safebox", error="invalid_token"`).write(w)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// bearer takes the token out of an Authorization header.
func bearer(header string) (token string, ok bool) {
	scheme, token, ok := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// notLocal says why a request may come from elsewhere than this machine; "" when it cannot. The address says where the
// connection ends; the host says by which name the client found it, and a name other than this machine's own may be a
// stranger's that was pointed here (DNS rebinding).
func notLocal(r *http.Request) string {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil || !loopback(local.String()) {
		return "without a token events are taken on a loopback address only"
	}
	if !loopback(r.Host) {
		return "without a token events are taken only under a loopback host such as 127.0.0.1 or localhost, not " + shortened(r.Host)
	}
	return ""
}

// loopback tells whether a host, with or without a port, is this machine's own.
func loopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
