package api_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/safebox/safebox/worker/api"
)

// plainly asks a handler on this machine for a path and a query, whatever they hold; the status is 0 where no client could.
func plainly(t *testing.T, h http.Handler, path, query string) (status int, body string) {
	t.Helper()
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return 0, ""
	}
	u.RawQuery = query
	ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}))
	req := (&http.Request{Method: http.MethodGet, URL: u, Host: "localhost", Header: http.Header{}, Body: http.NoBody}).WithContext(ctx)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec.Code, rec.Body.String()
}

// hostile is a server with tokens, which waits so long for a header and twice as long for a body, and a log that is looked
// through at the end for what must not be in it.
func hostile(t *testing.T, patience time.Duration) (addr string, m *memory) {
	t.Helper()
	var out logs
	o := full()
	m = &memory{}
	o.Appender, o.Logger, o.IngestToken, o.AdminToken = m, out.logger(), "ingest-s3cret", "admin-s3cret"
	s := listen(t, api.ServerOptions{
		Addr: "127.0.0.1:0", Explicit: true, Logger: out.logger(), IngestToken: o.IngestToken,
		HeaderTimeout: patience, ReadTimeout: 2 * patience,
	})
	ctx, stop := context.WithCancel(context.Background()) // the test's own ends before its clean-up
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, api.New(o)) }()
	t.Cleanup(func() {
		if res, err := http.Get("http://" + s.Addr().String() + "/readyz"); err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("afterwards readyz answers %v, %v", res, err)
		} else {
			res.Body.Close()
		}
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		for _, secret := range []string{"s3cret", "hush", "wr0ng"} {
			if strings.Contains(out.String(), secret) {
				t.Errorf("the log tells %q:\n%s", secret, out.String())
			}
		}
	})
	return s.Addr().String(), m
}

// talk sends bytes as they are and reads what comes until the server closes the connection.
func talk(t *testing.T, addr, request string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	sent := make(chan struct{})
	go func() { // the server may answer, and close, before it has read all
		defer close(sent)
		_, _ = io.WriteString(conn, request)
	}()
	answer, err := io.ReadAll(conn)
	if late := net.Error(nil); errors.As(err, &late) && late.Timeout() {
		t.Fatalf("the connection is still open; so far %q", answer)
	}
	conn.Close()
	<-sent
	return string(answer)
}

func TestHostileRequestsAreRefusedAndLeaveNothingStuck(t *testing.T) {
	t.Parallel()
	patient, m := hostile(t, 20*time.Second)
	hurried, none := hostile(t, time.Second) // for those who stop: they are waited for
	const auth = "Authorization: Bearer ingest-s3cret\r\n"
	head := func(length string) string {
		return "POST /v1/events HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Type: " + structured + "\r\n" + length + "\r\n"
	}
	event := credit("1", 1)
	sized := fmt.Sprintf("Content-Length: %d\r\n", len(event))
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" }
	for name, c := range map[string]struct {
		request string
		status  string // of the first answer
	}{
		"a header that stops":              {"GET /livez HTTP/1.1\r\nHost: x\r\nX-Sl", "400"},
		"a body that stops":                {head(sized) + event[:20], "408"},
		"a chunked body that stops":        {head("Transfer-Encoding: chunked\r\n") + "5\r\n{\"id\"\r\n", "408"},
		"a body that is not there":         {head("Connection: close\r\n"), "411"},
		"an announced body of 100 MB":      {head("Content-Length: 104857600\r\n"), "413"},
		"a chunked body of many MB":        {head("Transfer-Encoding: chunked\r\n") + strings.Repeat("10000\r\n"+strings.Repeat(" ", 1<<16)+"\r\n", 32), "413"},
		"two lengths":                      {head("Content-Length: 5\r\nContent-Length: 6\r\n") + event, "400"},
		"a length and chunks":              {head(sized+"Transfer-Encoding: gzip, chunked\r\n") + event, "501"},
		"a negative length":                {head("Content-Length: -5\r\n") + event, "400"},
		"a header of 100 KB":               {"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n\r\n", "431"},
		"ten thousand headers":             {"GET /livez HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 10_000) + "\r\n", "431"},
		"a space in a header's name":       {"GET /livez HTTP/1.1\r\nHost: x\r\nX y: z\r\n\r\n", "400"},
		"a NUL in a header":                {"GET /livez HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", "400"},
		"no host":                          {"GET /livez HTTP/1.1\r\n\r\n", "400"},
		"two hosts":                        {"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "400"},
		"no HTTP, that stops":              {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"},
		"another version":                  {"GET /livez HTTP/3.0\r\nHost: x\r\n\r\n", "505"},
		"HTTP/1.0":                         {"GET /livez HTTP/1.0\r\n\r\n", "200"},
		"HTTP/1.0 without a token":         {"GET /v1/status HTTP/1.0\r\n\r\n", "401"},
		"HTTP/1.0 with an endless body":    {"POST /v1/events HTTP/1.0\r\n" + auth + "Content-Type: " + structured + "\r\n\r\n", "411"},
		"two slashes":                      {get("//livez"), "404"},
		"a way up":                         {get("/v1/../livez"), "404"},
		"an encoded way up":                {get("/v1/%2e%2e/livez"), "404"},
		"a NUL in the path":                {get("/livez%00"), "404"},
		"half an escape":                   {get("/v1/wallets/%2"), "400"},
		"a path of 12 KB":                  {get("/" + strings.Repeat("x", 12<<10)), "404"},
		"a path of 100 KB":                 {get("/" + strings.Repeat("x", 100<<10)), "431"},
		"another machine's URL":            {get("http://evil.example/etc/passwd"), "404"},
		"a proxy's method":                 {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n", "404"},
		"all options":                      {"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"},
		"a trace":                          {"TRACE /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "405"},
		"a method of its own":              {"HUSH /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "405"},
		"two authorizations":               {head(auth+sized+"Connection: close\r\n") + event, "400"},
		"two content types":                {head("Content-Type: text/plain\r\n"+sized+"Connection: close\r\n") + event, "400"},
		"a wrong token":                    {strings.Replace(head(sized+"Connection: close\r\n"), "ingest-s3cret", "wr0ng", 1) + event, "401"},
		"an upgrade to HTTP/2":             {"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", "200"},
		"the preface of HTTP/2":            {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "404"},
		"a request that hides a second":    {"POST /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 30\r\n\r\nGET /v1/status HTTP/1.1\r\n\r\n....", "405"},
		"an expectation that nobody knows": {strings.Replace(head(sized+"Expect: hush\r\nConnection: close\r\n"), "x", "x", 1) + event, "417"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := patient
			if strings.HasSuffix(name, "that stops") {
				addr = hurried
			}
			answer := talk(t, addr, c.request)
			res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
			if err != nil {
				t.Fatalf("no answer: %v: %.200q", err, answer)
			}
			res.Body.Close()
			if fmt.Sprint(res.StatusCode) != c.status {
				t.Errorf("status %d, want %s: %.300q", res.StatusCode, c.status, answer)
			}
			if strings.Contains(answer, "s3cret") || strings.Contains(answer, "wr0ng") || len(answer) > 2000 {
				t.Errorf("the answer repeats too much: %.300q", answer)
			}
		})
	}
	t.Cleanup(func() {
		for _, m := range []*memory{m, none} {
			if n, _ := m.count(); n != 0 {
				t.Errorf("%d events came in", n)
			}
		}
	})
}

func TestACompressedBodyIsNotUnpacked(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 10<<20)) // 10 MB in 10 KB
	z.Close()
	url := serve(t, full())
	for _, encoding := range []string{"gzip", "deflate", "br", "identity, gzip"} {
		for path, kind := range map[string]string{"/v1/events": structured, "/v1/parked/alice/retry": "application/json"} {
			a := do(t, http.MethodPost, url+path, packed.String(), "Content-Type", kind, "Content-Encoding", encoding)
			wantProblem(t, a, http.StatusUnsupportedMediaType, "about:blank")
			if a.header.Get("Accept-Encoding") != "identity" {
				t.Errorf("Accept-Encoding %q", a.header.Get("Accept-Encoding"))
			}
		}
	}
}
