package check

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/unit"
)

// texts are the files of deploy/ that people and programs read, by name.
func texts(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(deploy, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path == filepath.Join(deploy, "check"):
			return filepath.SkipDir
		case d.IsDir() || strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".svg"):
			return nil
		}
		content, err := os.ReadFile(path)
		found[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var variable = regexp.MustCompile(`\b(?:SAFEBOX_[A-Z_]+|DB_[A-Z_]+|DATABASE|SUPPORTED_CURRENCIES)\b`)

func TestEveryVariableThatIsNamedIsReadByTheProgram(t *testing.T) {
	where := map[string]string{}
	for path, text := range texts(t) {
		for _, name := range variable.FindAllString(text, -1) {
			where[name] = path
		}
	}
	if len(where) < 8 {
		t.Errorf("only %d variables are named: %v", len(where), where)
	}
	for name, path := range where {
		if !reads(t, name) {
			t.Errorf("%s names %s, which the program does not read", path, name)
		}
	}
}

// call is a command line of safebox in a text: at a prompt, behind docker's or kubectl's words, or quoted.
var call = regexp.MustCompile("(?m)(?:^\\s*[$#] |`|docker run [^`\n]* |exec [^`\n]*-- /?)safebox((?: [A-Za-z0-9=./:_-]+)+)")

func TestEveryCommandLineThatIsNamedIsKnownToTheProgram(t *testing.T) {
	n := 0
	for path, text := range texts(t) {
		if filepath.Ext(path) != ".md" && filepath.Ext(path) != ".yml" && filepath.Ext(path) != ".yaml" {
			continue
		}
		for _, m := range call.FindAllStringSubmatch(text, -1) {
			n++
			if args := strings.Fields(m[1]); !knows(t, args...) {
				t.Errorf("%s names safebox %s, which the program does not know", path, strings.Join(args, " "))
			}
		}
	}
	if n < 3 {
		t.Errorf("only %d command lines were found", n)
	}
}

// service is the unit of systemd, by section and name; of a name that comes twice the last.
func service(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join(deploy, "systemd", "safebox.service"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	options, err := unit.DeserializeOptions(f)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, o := range options {
		values[o.Section+"/"+o.Name] = o.Value
	}
	return values
}

func TestTheUnitRunsAWorkerThatSystemdKnowsToBeReadyAndAlive(t *testing.T) {
	u := service(t)
	args, ok := strings.CutPrefix(u["Service/ExecStart"], "/usr/local/bin/safebox ")
	if !ok || !knows(t, strings.Fields(args)...) {
		t.Errorf("safebox does not know %q", u["Service/ExecStart"])
	}
	for name, want := range map[string]string{
		"Service/Type": "notify", "Service/NotifyAccess": "main", "Service/KillSignal": "SIGTERM", "Service/Restart": "on-failure",
		"Service/DynamicUser": "yes", "Service/RestartPreventExitStatus": "64 65 78", "Unit/StartLimitIntervalSec": "0",
	} {
		if u[name] != want {
			t.Errorf("%s=%s, want %s", name, u[name], want)
		}
	}
	if stop := seconds(t, u["Service/TimeoutStopSec"]); stop < drain(t)+afterDrain {
		t.Errorf("it has %v to stop, and drains for %v", stop, drain(t))
	}
	// A replica is stuck after 30 s, and says that it is not every 10 s at the least.
	if watchdog := seconds(t, u["Service/WatchdogSec"]); watchdog < 30*time.Second || watchdog > 2*time.Minute {
		t.Errorf("the watchdog waits for %v", watchdog)
	}
}

func TestLitestreamCopiesTheDatabaseOfTheUnit(t *testing.T) {
	var config struct {
		DBs []struct {
			Path    string
			Replica struct{ Type, Bucket, Path, Region string }
		} `json:"dbs"`
	}
	load(t, "litestream/litestream.yml", &config)
	// The worker's default is data/database.db in its working directory.
	if want := service(t)["Service/WorkingDirectory"] + "/data/database.db"; len(config.DBs) != 1 || config.DBs[0].Path != want {
		t.Errorf("Litestream copies %+v, want %s", config.DBs, want)
	}
}
