package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// A guard opens one surface: to whoever sends one of its tokens or, where it has none, to this machine alone.
type guard struct {
	what      string // what it guards, for people: "events are taken"
	variables string // the variables that set its tokens
	tokens    [][sha256.Size]byte
	// browser lets a browser ask for the token and send it by itself (RFC 7617, the password is the token). Browsers send such
	// credentials along with what other sites make them ask for, so it holds for reading alone.
	browser bool
}

// newGuard makes a guard of the tokens that are set.
func newGuard(what, variables string, tokens ...string) *guard {
	g := &guard{what: what, variables: variables}
	for _, t := range tokens {
		if t != "" {
			g.tokens = append(g.tokens, sha256.Sum256([]byte(t)))
		}
	}
	return g
}

// forBrowsers is the same guard where a person may read with a browser.
func (g *guard) forBrowsers() *guard {
	open := *g
	open.browser = true
	return &open
}

// crossOrigin refuses what a page of another site makes a browser send.
var crossOrigin = http.NewCrossOriginProtection()

// admit says why a request may not pass; nil when it may.
func (g *guard) admit(r *http.Request) *problem {
	if err := crossOrigin.Check(r); err != nil {
		return named(http.StatusForbidden, "cross-origin", "Another site's request", "a page of another site made the browser send this; it is not taken")
	}
	if len(g.tokens) == 0 {
		if reason := notLocal(r); reason != "" {
			return named(http.StatusForbidden, "token-required", "No token is configured",
				"without a token "+g.what+" "+reason+"; set "+g.variables+" on the server and send it as a bearer token")
		}
		return nil
	}
	if len(r.Header["Authorization"]) > 1 {
		return plain(http.StatusBadRequest, "the header Authorization is there more than once")
	}
	token, given := bearer(r.Header.Get("Authorization"))
	if !given && g.browser {
		_, token, given = r.BasicAuth()
	}
	switch {
	case !given:
		return g.challenge("send the token of "+g.variables+": Authorization: Bearer <token>", "")
	case !g.knows(token):
		return g.challenge("the bearer token is not the server's "+g.variables, `, error="invalid_token"`)
	}
	return nil
}

// knows compares hashes of equal length, all of them: the time it takes tells nothing, not even the length of a right token.
func (g *guard) knows(token string) bool {
	got, known := sha256.Sum256([]byte(token)), 0
	for _, want := range g.tokens {
		known |= subtle.ConstantTimeCompare(got[:], want[:])
	}
	return known == 1
}

func (g *guard) challenge(detail, params string) *problem {
	p := plain(http.StatusUnauthorized, detail).with("WWW-Authenticate", `Bearer realm="safebox"`+params)
	if g.browser {
		p.header.Add("WWW-Authenticate", `Basic realm="safebox: any user, the admin token as password", charset="UTF-8"`)
	}
	return p
}

// bearer takes the token out of an Authorization header.
func bearer(header string) (token string, ok bool) {
	scheme, token, ok := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// forwarding are headers that proxies add. What comes through one may come from anywhere.
var forwarding = [...]string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"}

// notLocal says why a request may come from elsewhere than this machine; "" when it cannot. The address says where the
// connection ends; the host says by which name the client found it, and a name other than this machine's own may be a
// stranger's that was pointed here (DNS rebinding).
func notLocal(r *http.Request) string {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil || !loopback(local.String()) {
		return "on a loopback address only"
	}
	if !loopback(r.Host) {
		return "only under a loopback host such as 127.0.0.1 or localhost, not " + shortened(r.Host)
	}
	for _, name := range forwarding {
		if len(r.Header[name]) > 0 {
			return "from this machine itself only, and not through a proxy (the request has the header " + name + ")"
		}
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
