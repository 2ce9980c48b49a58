package check

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

const (
	deploy = ".."
	root   = "../.."
	// patience bounds one run of the program.
	patience = 60 * time.Second
	// builtAs is the version that the build is told.
	builtAs = "1.2.3-check"
)

// scratch is a folder of the whole run's own.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "safebox-check-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(scratch)
	os.Exit(code)
}

// program is the binary, built by the Dockerfile's own command from the files that .dockerignore lets through.
func program(t *testing.T) string {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

var build = sync.OnceValues(func() (string, error) {
	src, out := filepath.Join(scratch, "src"), filepath.Join(scratch, "out")
	if err := copyContext(src); err != nil {
		return "", err
	}
	script, err := buildScript()
	if err != nil {
		return "", err
	}
	c := exec.Command("sh", "-c", strings.ReplaceAll(script, "/out/", out+"/"))
	c.Dir = src
	c.Env = append(os.Environ(), "TARGETOS="+runtime.GOOS, "TARGETARCH="+runtime.GOARCH, "VERSION="+builtAs)
	if text, err := c.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(text)))
	}
	return filepath.Join(out, "safebox"), nil
})

// buildScript is the command of the Dockerfile that runs go build.
func buildScript() (string, error) {
	stages, _, err := dockerfile()
	if err != nil {
		return "", err
	}
	for _, c := range stages[0].Commands {
		if run, ok := c.(*instructions.RunCommand); ok && strings.Contains(run.CmdLine[0], "go build") {
			return run.CmdLine[0], nil
		}
	}
	return "", errors.New("the Dockerfile's first stage runs no go build")
}

// copyContext copies what a builder would be sent.
func copyContext(to string) error {
	f, err := os.Open(filepath.Join(root, ".dockerignore"))
	if err != nil {
		return err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		return err
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() && (name == ".git" || name == "bin") { // .dockerignore leaves them out too, a file at a time
			return filepath.SkipDir
		}
		if ignored, err := matcher.MatchesOrParentMatches(name); err != nil || ignored || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), content, 0o644)
	})
}

// result is what the program printed and how it ended.
type result struct {
	stdout, stderr string
	code           int
}

// run runs the program with these variables and no others.
func run(t *testing.T, env []string, args ...string) result {
	t.Helper()
	bin := program(t) // which may have to be built first
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, problems bytes.Buffer
	c := exec.CommandContext(ctx, bin, args...)
	c.Dir, c.Env, c.Stdout, c.Stderr = t.TempDir(), env, &out, &problems
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{out.String(), problems.String(), c.ProcessState.ExitCode()}
}

// knows tells whether the program knows a command line: that it prints the command's help says so, and does nothing.
func knows(t *testing.T, args ...string) bool {
	t.Helper()
	r := run(t, nil, append(args, "--help")...)
	var command []string
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			break
		}
		command = append(command, a)
	}
	// The help of a command whose arguments are taken for commands would be that of another.
	return r.code == 0 && strings.Contains(r.stdout, "safebox "+command[0])
}

func TestTheProgramKnowsWhatItKnows(t *testing.T) {
	for line, want := range map[string]bool{
		"worker": true, "worker --until-idle": true, "healthcheck --live": true, "event publish FILE": true,
		"work": false, "worker --until-dawn": false, "healthcheck --livez": false,
	} {
		if got := knows(t, strings.Fields(line)...); got != want {
			t.Errorf("knows(%s) = %v", line, got)
		}
	}
}

// nonsense is a value that no setting takes.
const nonsense = "? ?"

// reads tells whether the program reads a variable: it refuses nonsense in it by its name.
func reads(t *testing.T, name string) bool {
	t.Helper()
	r := run(t, []string{name + "=" + nonsense}, "status")
	return r.code == 78 && strings.Contains(r.stderr, name)
}

// drain is the time in which the program finishes what it has in hand, unless it is told another.
func drain(t *testing.T) time.Duration {
	t.Helper()
	said := regexp.MustCompile(`SAFEBOX_DRAIN_SECONDS; default (\d+)`).FindStringSubmatch(run(t, nil, "worker", "--help").stdout)
	if said == nil {
		t.Fatal("the program does not say how long it drains")
	}
	return seconds(t, said[1])
}

func TestTheProgramReadsWhatItReads(t *testing.T) {
	for name, want := range map[string]bool{
		"DATABASE": true, "SAFEBOX_INGEST_TOKEN": true, "DB_POOL_SIZE": true, "DATABSE": false, "SAFEBOX_TOKEN": false,
	} {
		if got := reads(t, name); got != want {
			t.Errorf("reads(%s) = %v", name, got)
		}
	}
}
