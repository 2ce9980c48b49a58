package check

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
)

// A replica that runs as the manifests say answers what they ask: every probe, every scrape, every health check.
func TestARunningReplicaAnswersWhatItIsAsked(t *testing.T) {
	objects := rendered(t, "sqlite")
	container := the[*apps.Deployment](t, objects).Spec.Template.Spec.Containers[0]
	env := environment(t, objects, container)
	env["SAFEBOX_INGEST_TOKEN"] = "a-token"
	env["DATABASE"] = "sqlite:///" + filepath.Join(t.TempDir(), "database.db")
	env["SAFEBOX_HTTP_ADDR"] = "127.0.0.1:0"
	addr, stop := start(t, env, container.Args)

	client := http.Client{Timeout: 5 * time.Second}
	ask := func(path string) (int, string) {
		resp, err := client.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	metrics := the[*monitoring.PodMonitor](t, objects).Spec.PodMetricsEndpoints[0].Path
	for _, path := range []string{container.StartupProbe.HTTPGet.Path, container.LivenessProbe.HTTPGet.Path, metrics} {
		if status, body := ask(path); status != http.StatusOK {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
	}
	await(t, "readiness", func() bool {
		status, _ := ask(container.ReadinessProbe.HTTPGet.Path)
		return status == http.StatusOK
	})
	for what, command := range healthChecks(t) {
		if r := run(t, []string{"SAFEBOX_HTTP_ADDR=" + addr}, command...); r.code != 0 {
			t.Errorf("the health check of %s: exit %d %s", what, r.code, r.stderr)
		}
	}
	_, page := ask(metrics)
	for _, series := range scaledBy(t) {
		if !strings.Contains(page, "\n"+series+" ") {
			t.Errorf("the autoscaler's %s is no series of a replica", series)
		}
	}
	stop()
}

// scaledBy are the series that the autoscaler asks for, as a replica would write them, after the adapter has been seen to make
// that metric of the series of that name.
func scaledBy(t *testing.T) (series []string) {
	var adapter struct {
		Rules struct {
			External []struct {
				SeriesQuery  string
				MetricsQuery string
				Resources    struct {
					Overrides map[string]struct{ Resource string }
				}
			}
		}
	}
	load(t, "kubernetes/prometheus-adapter-values.yaml", &adapter)
	for _, m := range the[*autoscaling.HorizontalPodAutoscaler](t, rendered(t, "postgresql")).Spec.Metrics {
		name := m.External.Metric.Name
		for _, rule := range adapter.Rules.External {
			if q := rule.SeriesQuery; !strings.HasPrefix(q, name+"{") || !strings.HasPrefix(rule.MetricsQuery, "max(") || rule.Resources.Overrides["namespace"].Resource != "namespace" {
				t.Errorf("the adapter makes no %s: %+v", name, rule)
			}
			for label, value := range m.External.Metric.Selector.MatchLabels {
				series = append(series, name+`{`+label+`="`+value+`"}`)
			}
		}
	}
	if len(series) == 0 {
		t.Error("the autoscaler asks for nothing that the adapter makes")
	}
	return series
}

// healthChecks are the arguments of safebox in the health checks of the image and of compose.
func healthChecks(t *testing.T) map[string][]string {
	stages, _, err := dockerfile()
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]string{
		"the image": only[*instructions.HealthCheckCommand](t, stages[len(stages)-1]).Health.Test[2:],
		"compose":   project(t).Services["safebox"].HealthCheck.Test[2:],
	}
}

// start runs the program until stop, which expects it to end well. It returns where it listens.
func start(t *testing.T, env map[string]string, args []string) (addr string, stop func()) {
	t.Helper()
	c := exec.Command(program(t), args...)
	c.Dir = t.TempDir()
	for name, value := range env {
		c.Env = append(c.Env, name+"="+value)
	}
	log, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	addrs, ended := make(chan string, 1), make(chan struct{})
	var text strings.Builder
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			text.WriteString(lines.Text() + "\n")
			var entry struct{ Addr string }
			if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Addr != "" {
				addrs <- entry.Addr
			}
		}
	}()
	t.Cleanup(func() {
		c.Process.Kill() //nolint:errcheck // it may have ended
	})
	select {
	case addr = <-addrs:
	case <-ended:
		t.Fatalf("it ended: %v\n%s", c.Wait(), text.String())
	case <-time.After(patience):
		t.Fatal("it does not listen")
	}
	return addr, func() {
		t.Helper()
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("it does not end")
		}
		if err := c.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v\n%s", err, text.String())
		}
	}
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	end := time.After(patience)
	for !holds() {
		select {
		case <-again.C:
		case <-end:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// The program refuses to be reached by others without a token, so that a secret that was forgotten is seen at once.
func TestWithoutItsSecretAReplicaDoesNotStart(t *testing.T) {
	objects := rendered(t, "sqlite")
	container := the[*apps.Deployment](t, objects).Spec.Template.Spec.Containers[0]
	var env []string
	for name, value := range environment(t, objects, container) {
		switch name {
		case "DATABASE":
			value = "sqlite:///" + filepath.Join(t.TempDir(), "database.db")
		case "SAFEBOX_HTTP_ADDR":
			value = ":0"
		}
		env = append(env, name+"="+value)
	}
	if r := run(t, env, container.Args...); r.code != 78 || !strings.Contains(r.stderr, "SAFEBOX_INGEST_TOKEN") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// The image's address and the manifests' port are the same.
func TestTheManifestsPortIsTheImages(t *testing.T) {
	objects := rendered(t, "postgresql")
	container := the[*apps.Deployment](t, objects).Spec.Template.Spec.Containers[0]
	stages, _, err := dockerfile()
	if err != nil {
		t.Fatal(err)
	}
	image := stages[len(stages)-1]
	for what, addr := range map[string]string{
		"the image": envOf(image)["SAFEBOX_HTTP_ADDR"], "the map": environment(t, objects, container)["SAFEBOX_HTTP_ADDR"],
	} {
		if addr != ":8080" {
			t.Errorf("%s listens on %q", what, addr)
		}
	}
	exposed := only[*instructions.ExposeCommand](t, image).Ports
	if len(exposed) != 1 || exposed[0] != "8080" || container.Ports[0] != (core.ContainerPort{Name: "http", ContainerPort: 8080, Protocol: container.Ports[0].Protocol}) {
		t.Errorf("the image exposes %v, the container %v", exposed, container.Ports)
	}
	if target := the[*core.Service](t, objects).Spec.Ports[0]; !regexp.MustCompile(`^(http|8080)$`).MatchString(target.TargetPort.String()) {
		t.Errorf("the service leads to %s", target.TargetPort.String())
	}
}
