package dbtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// PrometheusServer is a private Prometheus. What it scrapes is in a file that Scrape replaces.
type PrometheusServer struct {
	dir string
	url string
}

// Prometheus starts a server of the test's own that scrapes and evaluates rules at the interval. The rules are the content
// of a file of rules; nil: none. It ends with the test.
func Prometheus(tb testing.TB, every time.Duration, rules []byte) *PrometheusServer {
	tb.Helper()
	program := PrometheusProgram(tb, "prometheus")
	port, err := freePort()
	if err != nil {
		tb.Fatal(err)
	}
	s := &PrometheusServer{dir: tb.TempDir(), url: "http://127.0.0.1:" + strconv.Itoa(port)}
	interval := strconv.FormatInt(every.Milliseconds(), 10) + "ms"
	s.write(tb, "prometheus.yml", fmt.Sprintf(`global: {scrape_interval: %[1]s, scrape_timeout: %[1]s, evaluation_interval: %[1]s}
rule_files: [rules.yml]
scrape_configs:
  - job_name: safebox
    file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]
`, interval))
	s.write(tb, "rules.yml", string(rules))
	s.write(tb, "targets.json", "[]")
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close() // the server has its own descriptor
	p, err := spawn([]string{
		program, "--config.file=" + filepath.Join(s.dir, "prometheus.yml"), "--storage.tsdb.path=" + filepath.Join(s.dir, "data"),
		"--web.listen-address=127.0.0.1:" + strconv.Itoa(port), "--enable-feature=exemplar-storage",
	}, nil, nil, log)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		p.end(syscall.SIGTERM)
		if tb.Failed() {
			tb.Logf("the log of Prometheus ends:\n%s", tail(log.Name()))
		}
	})
	deadline := time.Now().Add(time.Minute)
	for {
		resp, err := http.Get(s.url + "/-/ready") //nolint:noctx // a loopback address, and the deadline bounds the tries
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s
			}
		}
		select {
		case <-p.done:
			tb.Fatalf("Prometheus ended while it started:\n%s", tail(log.Name()))
		case <-time.After(20 * time.Millisecond):
			if time.Now().After(deadline) {
				tb.Fatalf("Prometheus did not answer within a minute: %v", err)
			}
		}
	}
}

// PrometheusProgram is the path of prometheus or promtool.
func PrometheusProgram(tb testing.TB, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		tb.Fatalf("the program %s is missing; on Debian and Ubuntu: apt-get install -y prometheus", name)
	}
	return path
}

// Scrape replaces what is scraped: addresses, host:port, by the names that they go by as instances.
func (s *PrometheusServer) Scrape(tb testing.TB, addresses map[string]string) {
	tb.Helper()
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := []group{}
	for name, address := range addresses {
		groups = append(groups, group{[]string{address}, map[string]string{"instance": name}})
	}
	content, err := json.Marshal(groups)
	if err != nil {
		tb.Fatal(err)
	}
	s.write(tb, "targets.new", string(content))
	if err := os.Rename(filepath.Join(s.dir, "targets.new"), filepath.Join(s.dir, "targets.json")); err != nil {
		tb.Fatal(err)
	}
}

func (s *PrometheusServer) write(tb testing.TB, name, content string) {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// Sample is a value, or with Range some, of a series. A value is a time in Unix seconds and a number as text.
type Sample struct {
	Labels map[string]string `json:"metric"`
	Value  [2]any            `json:"value"`
	Values [][2]any          `json:"values"`
}

// Number is a sample's value.
func Number(v [2]any) float64 {
	text, _ := v[1].(string)
	n, _ := strconv.ParseFloat(text, 64) // Prometheus writes numbers
	return n
}

// Query answers PromQL as of now.
func (s *PrometheusServer) Query(tb testing.TB, expr string) []Sample {
	tb.Helper()
	return s.ask(tb, "query", url.Values{"query": {expr}})
}

// Range answers PromQL for the time from one moment to another, in steps.
func (s *PrometheusServer) Range(tb testing.TB, expr string, from, to time.Time, step time.Duration) []Sample {
	tb.Helper()
	return s.ask(tb, "query_range", url.Values{
		"query": {expr}, "start": {moment(from)}, "end": {moment(to)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	})
}

func moment(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

func (s *PrometheusServer) ask(tb testing.TB, what string, query url.Values) []Sample {
	tb.Helper()
	resp, err := http.Post(s.url+"/api/v1/"+what, "application/x-www-form-urlencoded", strings.NewReader(query.Encode())) //nolint:noctx // a loopback address
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	var answer struct {
		Error string
		Data  struct{ Result []Sample }
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Error != "" {
		tb.Fatalf("%s: %v %s", query.Get("query"), err, answer.Error)
	}
	return answer.Data.Result
}
