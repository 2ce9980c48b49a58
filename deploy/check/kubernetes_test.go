package check

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

var overlays = []string{"postgresql", "pgbouncer", "sqlite"}

// kinds are those that the manifests may use.
var kinds = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		core.AddToScheme, apps.AddToScheme, autoscaling.AddToScheme, networking.AddToScheme, policy.AddToScheme, monitoring.AddToScheme,
	} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}()

// decode reads one object into Kubernetes' own type for it; a field that this does not have, or one twice, is an error.
func decode(manifest []byte) (runtime.Object, error) {
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, kinds, kinds, json.SerializerOptions{Yaml: true, Strict: true})
	object, _, err := strict.Decode(manifest, nil, nil)
	return object, err
}

// rendered are the objects of an overlay, as kubectl kustomize makes them.
func rendered(t *testing.T, overlay string) []runtime.Object {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).
		Run(filesys.MakeFsOnDisk(), filepath.Join(deploy, "kubernetes", "overlays", overlay))
	if err != nil {
		t.Fatalf("%s: %v", overlay, err)
	}
	var objects []runtime.Object
	for _, r := range resources.Resources() {
		manifest, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		object, err := decode(manifest)
		if err != nil {
			t.Fatalf("%s: %v\n%s", overlay, err, manifest)
		}
		objects = append(objects, object)
	}
	return objects
}

// those are the objects of one type.
func those[O runtime.Object](objects []runtime.Object) (found []O) {
	for _, o := range objects {
		if o, ok := o.(O); ok {
			found = append(found, o)
		}
	}
	return found
}

// the is the one object of a type.
func the[O runtime.Object](t *testing.T, objects []runtime.Object) O {
	t.Helper()
	found := those[O](objects)
	if len(found) != 1 {
		t.Fatalf("%d objects of type %T, want 1", len(found), *new(O))
	}
	return found[0]
}

// environment are the variables of a container: those with a value, and those that come from the secret, with "".
func environment(t *testing.T, objects []runtime.Object, c core.Container) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, from := range c.EnvFrom {
		found := false
		for _, m := range those[*core.ConfigMap](objects) {
			if from.ConfigMapRef != nil && m.Name == from.ConfigMapRef.Name {
				found = true
				for name, value := range m.Data {
					env[name] = value
				}
			}
		}
		if !found {
			t.Errorf("the environment comes from what is not there: %+v", from)
		}
	}
	for _, e := range c.Env {
		if e.ValueFrom != nil && (e.Value != "" || e.ValueFrom.SecretKeyRef == nil || e.ValueFrom.SecretKeyRef.Name != "safebox" || e.ValueFrom.SecretKeyRef.Key != e.Name) {
			t.Errorf("%s comes from %+v", e.Name, e.ValueFrom)
		}
		env[e.Name] = e.Value
	}
	return env
}

func each(t *testing.T, f func(t *testing.T, overlay string, objects []runtime.Object, d *apps.Deployment, c core.Container)) {
	t.Helper()
	for _, overlay := range overlays {
		t.Run(overlay, func(t *testing.T) {
			objects := rendered(t, overlay)
			d := the[*apps.Deployment](t, objects)
			if n := len(d.Spec.Template.Spec.Containers); n != 1 {
				t.Fatalf("%d containers", n)
			}
			f(t, overlay, objects, d, d.Spec.Template.Spec.Containers[0])
		})
	}
}

func TestStrictMeansStrict(t *testing.T) {
	for name, manifest := range map[string]string{
		"a field that there is not": "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: x}\nautomountToken: false\n",
		"a field twice":             "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: x}\nmetadata: {name: y}\n",
		"a wrong type":              "apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: three}\n",
		"a kind that there is not":  "apiVersion: apps/v1\nkind: Deploymnet\n",
		"a monitor's field":         "apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nspec: {selektor: {}}\n",
	} {
		if _, err := decode([]byte(manifest)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestAPodMayDoNothingThatItNeedNot(t *testing.T) {
	is := func(b *bool, want bool) bool { return b != nil && *b == want }
	each(t, func(t *testing.T, _ string, objects []runtime.Object, d *apps.Deployment, c core.Container) {
		pod := d.Spec.Template.Spec
		if !is(pod.AutomountServiceAccountToken, false) || !is(the[*core.ServiceAccount](t, objects).AutomountServiceAccountToken, false) {
			t.Error("a replica gets a token of Kubernetes")
		}
		if pod.ServiceAccountName != the[*core.ServiceAccount](t, objects).Name {
			t.Errorf("the account is %q", pod.ServiceAccountName)
		}
		if pod.HostNetwork || pod.HostPID || pod.HostIPC {
			t.Error("the pod sees its node")
		}
		s := pod.SecurityContext
		if !is(s.RunAsNonRoot, true) || s.RunAsUser == nil || *s.RunAsUser == 0 || s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
			t.Errorf("the pod's security context is %+v", s)
		}
		k := c.SecurityContext
		if !is(k.AllowPrivilegeEscalation, false) || !is(k.ReadOnlyRootFilesystem, true) || k.Privileged != nil ||
			k.Capabilities == nil || len(k.Capabilities.Drop) != 1 || k.Capabilities.Drop[0] != "ALL" || len(k.Capabilities.Add) > 0 {
			t.Errorf("the container's security context is %+v", k)
		}
		for _, name := range []core.ResourceName{core.ResourceCPU, core.ResourceMemory} {
			limit, request := c.Resources.Limits[name], c.Resources.Requests[name]
			if limit.Sign() <= 0 || request.Sign() <= 0 {
				t.Errorf("%s is not limited, or not asked for", name)
			}
		}
		if level := the[*core.Namespace](t, objects).Labels["pod-security.kubernetes.io/enforce"]; level != "restricted" {
			t.Errorf("the namespace enforces %q", level)
		}
	})
}

func TestEveryObjectIsInTheNamespaceAndFindsItsPods(t *testing.T) {
	each(t, func(t *testing.T, _ string, objects []runtime.Object, d *apps.Deployment, c core.Container) {
		labels := d.Spec.Template.Labels
		selects := func(what string, selector map[string]string) {
			if len(selector) == 0 {
				t.Errorf("the %s selects everything", what)
			}
			for name, value := range selector {
				if labels[name] != value {
					t.Errorf("the %s selects %s=%s, and the pods have %v", what, name, value, labels)
				}
			}
		}
		selects("Deployment", d.Spec.Selector.MatchLabels)
		selects("Service", the[*core.Service](t, objects).Spec.Selector)
		selects("NetworkPolicy", the[*networking.NetworkPolicy](t, objects).Spec.PodSelector.MatchLabels)
		selects("PodMonitor", the[*monitoring.PodMonitor](t, objects).Spec.Selector.MatchLabels)
		for _, b := range those[*policy.PodDisruptionBudget](objects) {
			selects("PodDisruptionBudget", b.Spec.Selector.MatchLabels)
		}
		ports := map[string]bool{}
		for _, p := range c.Ports {
			ports[p.Name] = true
		}
		used := []string{the[*core.Service](t, objects).Spec.Ports[0].TargetPort.StrVal, *the[*monitoring.PodMonitor](t, objects).Spec.PodMetricsEndpoints[0].Port}
		for _, p := range []*core.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
			used = append(used, p.HTTPGet.Port.StrVal)
		}
		for _, rule := range the[*networking.NetworkPolicy](t, objects).Spec.Ingress {
			used = append(used, rule.Ports[0].Port.StrVal)
		}
		for _, name := range used {
			if !ports[name] {
				t.Errorf("a port %q is used that the container does not name", name)
			}
		}
		for _, o := range objects {
			if named, ok := o.(interface {
				GetNamespace() string
				GetName() string
			}); ok && named.GetNamespace() != "safebox" && o.GetObjectKind().GroupVersionKind().Kind != "Namespace" {
				t.Errorf("%s %s is in namespace %q", o.GetObjectKind().GroupVersionKind().Kind, named.GetName(), named.GetNamespace())
			}
		}
	})
}

func TestAReplicaHasTheTimeThatItNeeds(t *testing.T) {
	each(t, func(t *testing.T, _ string, objects []runtime.Object, d *apps.Deployment, c core.Container) {
		pod := d.Spec.Template.Spec
		within := seconds(t, environment(t, objects, c)["SAFEBOX_DRAIN_SECONDS"])
		before := time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
		if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; grace < before+within+afterDrain {
			t.Errorf("a pod has %v to end: %v until it is told, %v to drain", grace, before, within)
		}
		// A migration takes as long as it takes: a probe that waited for it would kill the replica that is at it.
		if c.StartupProbe.HTTPGet.Path != "/livez" || c.LivenessProbe.HTTPGet.Path != "/livez" || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
			t.Error("a probe that restarts replicas looks at the database, or the one that does not does not")
		}
		if c.ReadinessProbe.TimeoutSeconds <= 2 {
			t.Error("the readiness probe gives up before the replica's own checks do")
		}
	})
}

func TestARollingUpdateTakesNoReplicaAwayBeforeAnotherIsReady(t *testing.T) {
	each(t, func(t *testing.T, overlay string, objects []runtime.Object, d *apps.Deployment, c core.Container) {
		budgets, scalers := those[*policy.PodDisruptionBudget](objects), those[*autoscaling.HorizontalPodAutoscaler](objects)
		if overlay == "sqlite" {
			if d.Spec.Strategy.Type != apps.RecreateDeploymentStrategyType || d.Spec.Strategy.RollingUpdate != nil || *d.Spec.Replicas != 1 {
				t.Errorf("one file has more than one replica: %+v", d.Spec.Strategy)
			}
			if len(budgets)+len(scalers) > 0 {
				t.Error("the one replica is scaled, or keeps its node from being drained")
			}
			return
		}
		if r := d.Spec.Strategy.RollingUpdate; d.Spec.Strategy.Type != apps.RollingUpdateDeploymentStrategyType || r.MaxUnavailable.IntValue() != 0 || r.MaxSurge.IntValue() < 1 {
			t.Errorf("the strategy is %+v", d.Spec.Strategy)
		}
		if len(budgets) != 1 || budgets[0].Spec.MaxUnavailable.IntValue() != 1 || len(scalers) != 1 {
			t.Fatal("there is no disruption budget of one replica, or no autoscaler")
		}
		scaler := scalers[0].Spec
		if d.Spec.Replicas != nil || scaler.ScaleTargetRef.Name != d.Name || scaler.ScaleTargetRef.Kind != "Deployment" {
			t.Error("the Deployment and the autoscaler both name the replicas, or not the same")
		}
		if *scaler.MinReplicas < 2 || *scaler.MinReplicas > scaler.MaxReplicas || scaler.MaxReplicas > 16 {
			t.Errorf("from %d to %d replicas; 64 partitions of 4 lanes each occupy 16", *scaler.MinReplicas, scaler.MaxReplicas)
		}
		env := environment(t, objects, c)
		pool := number(t, env["DB_POOL_SIZE"]) + number(t, env["DB_MAX_OVERFLOW"])
		// During an update there is one replica more.
		if most := (int(scaler.MaxReplicas) + 1) * (pool + besidePool); most > connections {
			t.Errorf("the replicas may open %d connections of %d", most, connections)
		}
	})
}

func TestTheVariablesAreThoseOfTheProgramAndNoSecretIsWrittenDown(t *testing.T) {
	wanted := map[string][]string{
		"postgresql": {"DATABASE", "SAFEBOX_INGEST_TOKEN"},
		"pgbouncer":  {"DATABASE", "SAFEBOX_DATABASE_DIRECT", "SAFEBOX_INGEST_TOKEN"},
		"sqlite":     {"SAFEBOX_INGEST_TOKEN"},
	}
	each(t, func(t *testing.T, overlay string, objects []runtime.Object, _ *apps.Deployment, c core.Container) {
		secret := map[string]bool{}
		for name, value := range environment(t, objects, c) {
			if !reads(t, name) {
				t.Errorf("%s is read by nobody", name)
			}
			secret[name] = value == ""
		}
		for _, name := range wanted[overlay] {
			if !secret[name] {
				t.Errorf("%s does not come from the secret", name)
			}
		}
		if len(those[*core.Secret](objects)) > 0 {
			t.Error("a secret is in the repository")
		}
		if !knows(t, c.Args...) {
			t.Errorf("safebox does not know %q", c.Args)
		}
	})
}

func TestTheSQLiteOverlayKeepsItsFileOnTheVolume(t *testing.T) {
	objects := rendered(t, "sqlite")
	pod := the[*apps.Deployment](t, objects).Spec.Template.Spec
	path, ok := strings.CutPrefix(environment(t, objects, pod.Containers[0])["DATABASE"], "sqlite:///")
	if !ok {
		t.Fatal("DATABASE is no SQLite file")
	}
	claims := map[string]string{}
	for _, v := range pod.Volumes {
		if v.PersistentVolumeClaim != nil {
			claims[v.Name] = v.PersistentVolumeClaim.ClaimName
		}
	}
	for _, m := range pod.Containers[0].VolumeMounts {
		if claims[m.Name] == the[*core.PersistentVolumeClaim](t, objects).Name && strings.HasPrefix(path, m.MountPath+"/") {
			return
		}
	}
	t.Errorf("%s is on no volume that is kept", path)
}

func TestTheReplicasReachTheirDatabaseAndNothingElse(t *testing.T) {
	want := map[string]string{"postgresql": "UDP/53 TCP/53 TCP/5432", "pgbouncer": "UDP/53 TCP/53 TCP/5432 TCP/6432", "sqlite": ""}
	each(t, func(t *testing.T, overlay string, objects []runtime.Object, _ *apps.Deployment, _ core.Container) {
		p := the[*networking.NetworkPolicy](t, objects).Spec
		var out []string
		for _, rule := range p.Egress {
			for _, port := range rule.Ports {
				out = append(out, string(*port.Protocol)+"/"+port.Port.String())
			}
		}
		if got := strings.Join(out, " "); got != want[overlay] || len(p.PolicyTypes) != 2 {
			t.Errorf("the replicas reach %q, want %q; policies of %v", got, want[overlay], p.PolicyTypes)
		}
	})
}
