package check

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"sigs.k8s.io/yaml"
)

const (
	// connections are what PostgreSQL allows by itself, less those that it keeps for its superusers.
	connections = 97
	// besidePool is how many connections a replica has beside its pool: the lock's or the marker's, and LISTEN's.
	besidePool = 2
	// afterDrain is how long a heartbeat may take to be taken away.
	afterDrain = 5 * time.Second
)

// secrets are the variables of compose/.env.
var secrets = []string{"POSTGRES_PASSWORD", "SAFEBOX_INGEST_TOKEN", "GRAFANA_PASSWORD"}

// composed loads the compose file as docker compose would, with these variables.
func composed(t *testing.T, env ...string) (*types.Project, error) {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{filepath.Join(deploy, "compose", "compose.yaml")}, cli.WithEnv(env), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	return o.LoadProject(context.Background())
}

func project(t *testing.T) *types.Project {
	t.Helper()
	var env []string
	for _, name := range secrets {
		env = append(env, name+"=the-"+name)
	}
	p, err := composed(t, env...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func seconds(t *testing.T, text string) time.Duration {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(n) * time.Second
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestComposeWantsEachSecretAndHasNone(t *testing.T) {
	for i, name := range secrets {
		var env []string
		for j, other := range secrets {
			if i != j {
				env = append(env, other+"=x")
			}
		}
		if _, err := composed(t, env...); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "deploy/README.md") {
			t.Errorf("without %s: %v", name, err)
		}
	}
	ignored, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(ignored), "/deploy/compose/.env\n") {
		t.Error("git does not ignore deploy/compose/.env")
	}
}

func TestComposeStartsThreeReplicasThatMayDoLittle(t *testing.T) {
	s := project(t).Services["safebox"]
	if s.Deploy == nil || s.Deploy.Replicas == nil || *s.Deploy.Replicas != 3 {
		t.Error("there are not three replicas")
	}
	if !s.ReadOnly || s.User != "65532:65532" || strings.Join(s.CapDrop, " ") != "ALL" || strings.Join(s.SecurityOpt, " ") != "no-new-privileges:true" || s.Privileged {
		t.Errorf("a replica may do more than it must: read-only %v, user %q, capabilities dropped %v, %v", s.ReadOnly, s.User, s.CapDrop, s.SecurityOpt)
	}
	if limits := s.Deploy.Resources.Limits; limits == nil || limits.MemoryBytes == 0 || limits.NanoCPUs == 0 {
		t.Error("a replica's memory and processors are not limited")
	}
	if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < drain(t)+afterDrain {
		t.Errorf("a replica has %v to stop, and drains for %v", s.StopGracePeriod, drain(t))
	}
	if d := s.DependsOn["postgres"]; d.Condition != types.ServiceConditionHealthy {
		t.Errorf("a replica starts when its database is %q", d.Condition)
	}
	env := map[string]string{}
	for name, value := range s.Environment {
		if !reads(t, name) {
			t.Errorf("%s is read by nobody", name)
		}
		env[name] = *value
	}
	pool := number(t, env["DB_POOL_SIZE"]) + number(t, env["DB_MAX_OVERFLOW"])
	if most := *s.Deploy.Replicas * (pool + besidePool); most > connections {
		t.Errorf("the replicas may open %d connections of %d", most, connections)
	}
	if !strings.Contains(env["DATABASE"], ":the-POSTGRES_PASSWORD@postgres/") || env["SAFEBOX_INGEST_TOKEN"] != "the-SAFEBOX_INGEST_TOKEN" {
		t.Errorf("the secrets do not arrive: %v", env)
	}
}

func TestComposeListensOnThisMachineOnlyAndPinsItsImages(t *testing.T) {
	p := project(t)
	for name, s := range p.Services {
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes port %s on %q", name, port.Published, port.HostIP)
			}
		}
		if _, tag, _ := strings.Cut(s.Image, ":"); s.Build == nil && (tag == "" || tag == "latest") {
			t.Errorf("%s is whatever %s is today", name, s.Image)
		}
		if s.HealthCheck != nil && s.HealthCheck.Test[0] != "CMD" {
			t.Errorf("the health check of %s wants a shell: %q", name, s.HealthCheck.Test)
		}
		for _, v := range s.Volumes {
			if _, err := os.Stat(v.Source); v.Type == types.VolumeTypeBind && err != nil {
				t.Errorf("%s mounts what is not there: %v", name, err)
			}
		}
	}
	s := p.Services["safebox"]
	if test := s.HealthCheck.Test; test[1] != "/safebox" || !knows(t, test[2:]...) {
		t.Errorf("the health check is %q", test)
	}
	if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
		t.Error(err)
	}
	ports := s.Ports
	if len(ports) == 0 || ports[0].Target != 8080 {
		t.Errorf("the replicas' ports are %v", ports)
	}
}

// mounted is where a service finds a file or a folder of deploy/; "" when it does not.
func mounted(t *testing.T, s types.ServiceConfig, source string) string {
	t.Helper()
	source, err := filepath.Abs(filepath.Join(deploy, source))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range s.Volumes {
		if v.Source == source {
			return v.Target
		}
	}
	return ""
}

// load reads a YAML file of deploy/ strictly.
func load(t *testing.T, name string, to any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(deploy, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(content, to); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func TestGrafanaFindsItsDashboardsAndPrometheusItsReplicas(t *testing.T) {
	p := project(t)
	grafana, prometheus := p.Services["grafana"], p.Services["prometheus"]
	var dashboards struct {
		APIVersion int `json:"apiVersion"`
		Providers  []struct {
			Name, Folder, Type string
			AllowUIUpdates     bool `json:"allowUiUpdates"`
			Options            struct{ Path string }
		}
	}
	load(t, "grafana/provisioning/dashboards/safebox.yml", &dashboards)
	if len(dashboards.Providers) != 1 || dashboards.Providers[0].Options.Path != mounted(t, grafana, "grafana/dashboards") {
		t.Errorf("the dashboards are looked for elsewhere than they are mounted: %+v", dashboards)
	}
	if mounted(t, grafana, "grafana/provisioning") != "/etc/grafana/provisioning" {
		t.Error("Grafana does not find its provisioning")
	}
	var sources struct {
		APIVersion  int `json:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			IsDefault                    bool
			JSONData                     struct{ TimeInterval string }
		}
	}
	load(t, "grafana/provisioning/datasources/prometheus.yml", &sources)
	if len(sources.Datasources) != 1 || sources.Datasources[0].URL != "http://prometheus:9090" || !sources.Datasources[0].IsDefault {
		t.Errorf("the data source is %+v", sources)
	}
	var scrape struct {
		Global        map[string]string
		RuleFiles     []string `json:"rule_files"`
		ScrapeConfigs []struct {
			JobName string `json:"job_name"`
			DNS     []struct {
				Names           []string
				Type            string
				Port            uint32
				RefreshInterval string `json:"refresh_interval"`
			} `json:"dns_sd_configs"`
		} `json:"scrape_configs"`
	}
	load(t, "compose/prometheus.yml", &scrape)
	if mounted(t, prometheus, "compose/prometheus.yml") != "/etc/prometheus/prometheus.yml" {
		t.Error("Prometheus does not find its configuration")
	}
	if rules := mounted(t, prometheus, "prometheus/rules"); len(scrape.RuleFiles) != 1 || filepath.Dir(scrape.RuleFiles[0]) != rules {
		t.Errorf("the rules are mounted at %s and looked for at %v", rules, scrape.RuleFiles)
	}
	job := scrape.ScrapeConfigs[0]
	replica, found := p.Services[job.DNS[0].Names[0]]
	if !found || replica.Ports[0].Target != job.DNS[0].Port || job.DNS[0].Type != "A" {
		t.Errorf("the replicas are looked for at %+v", job.DNS)
	}
}
