package check

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// dockerfile is the Dockerfile's stages and what BuildKit's linter has to say of it.
func dockerfile() (stages []instructions.Stage, warnings []string, err error) {
	f, err := os.Open(filepath.Join(deploy, "container", "Dockerfile"))
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	parsed, err := parser.Parse(f)
	if err != nil {
		return nil, nil, err
	}
	for _, w := range parsed.Warnings {
		warnings = append(warnings, w.Short)
	}
	stages, _, err = instructions.Parse(parsed.AST, linter.New(&linter.Config{
		Warn: func(rule, _, _, message string, _ []parser.Range) { warnings = append(warnings, rule+": "+message) },
	}))
	return stages, warnings, err
}

// of are the commands of one kind in a stage.
func of[C instructions.Command](s instructions.Stage) (found []C) {
	for _, c := range s.Commands {
		if c, ok := c.(C); ok {
			found = append(found, c)
		}
	}
	return found
}

// only is the one command of a kind in a stage.
func only[C instructions.Command](t *testing.T, s instructions.Stage) C {
	t.Helper()
	found := of[C](s)
	if len(found) != 1 {
		t.Fatalf("%d commands of type %T, want 1", len(found), *new(C))
	}
	return found[0]
}

// envOf are the variables that a stage sets.
func envOf(s instructions.Stage) map[string]string {
	env := map[string]string{}
	for _, c := range of[*instructions.EnvCommand](s) {
		for _, kv := range c.Env {
			env[kv.Key] = kv.Value
		}
	}
	return env
}

func TestTheImageIsTheBinaryAndNoOneIsRoot(t *testing.T) {
	stages, warnings, err := dockerfile()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("BuildKit warns: %s", w)
	}
	if len(stages) != 2 || stages[1].BaseName != "scratch" {
		t.Fatalf("%d stages, the last from %s; want a build, and one from scratch", len(stages), stages[len(stages)-1].BaseName)
	}
	image := stages[1]
	if got := only[*instructions.UserCommand](t, image).User; !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(got) {
		t.Errorf("the user is %q, want numbers that are not root's", got)
	}
	if len(of[*instructions.RunCommand](image)) > 0 {
		t.Error("a scratch image cannot run anything while it is built")
	}
	entry, command := only[*instructions.EntrypointCommand](t, image), only[*instructions.CmdCommand](t, image)
	if entry.PrependShell || command.PrependShell || !slices.Equal(entry.CmdLine, []string{"/safebox"}) {
		t.Errorf("ENTRYPOINT %q, CMD %q: there is no shell", entry.CmdLine, command.CmdLine)
	}
	if !knows(t, command.CmdLine...) {
		t.Errorf("safebox does not know CMD %q", command.CmdLine)
	}
	health := only[*instructions.HealthCheckCommand](t, image).Health
	if len(health.Test) < 3 || health.Test[0] != "CMD" || health.Test[1] != "/safebox" || !knows(t, health.Test[2:]...) {
		t.Errorf("HEALTHCHECK %q", health.Test)
	}
	for name, value := range envOf(image) {
		if !reads(t, name) {
			t.Errorf("ENV %s=%s is read by nobody", name, value)
		}
	}
	var copied []string
	for _, c := range of[*instructions.CopyCommand](image) {
		copied = append(copied, c.DestPath)
	}
	if want := []string{"/etc/ssl/certs/ca-certificates.crt", "/tmp", "/var/lib/safebox", "/safebox"}; !slices.Equal(copied, want) {
		t.Errorf("the image holds %q, want %q", copied, want)
	}
}

func TestTheCompilerIsPinnedToThatOfTheModule(t *testing.T) {
	stages, _, err := dockerfile()
	if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	wanted := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(module)
	if got := stages[0].BaseName; !regexp.MustCompile(fmt.Sprintf(`^golang:%s\.\d+-`, regexp.QuoteMeta(string(wanted[1])))).MatchString(got) {
		t.Errorf("the build is from %s, want a release of Go %s with all its numbers", got, wanted[1])
	}
}

// The command is the Dockerfile's own, and the files are those that .dockerignore lets through.
func TestTheDockerfilesBuildMakesAStaticBinary(t *testing.T) {
	bin := program(t)
	f, err := elf.Open(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has a %s: it needs a loader that a scratch image lacks", p.Type)
		}
	}
	if r := run(t, nil, "version"); r.code != 0 || !strings.Contains(r.stdout, "safebox "+builtAs+" ") {
		t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	sent, err := filepath.Glob(filepath.Join(scratch, "src", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range sent {
		if name := filepath.Base(path); name == "deploy" || name == "README.md" || strings.HasPrefix(name, ".") {
			t.Errorf("%s is sent to the builder, and changes what it has cached", name)
		}
	}
}
