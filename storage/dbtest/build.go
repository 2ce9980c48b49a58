package dbtest

import (
	"fmt"
	"os/exec"
	"runtime/debug"
	"slices"
)

// Build builds the program into a file, with the flags that the test itself was built with, the race detector among them: what
// both need is compiled once. Further flags come behind those.
func Build(file string, flags ...string) error {
	args := append(slices.Concat([]string{"build", "-buildvcs=false", "-o", file}, ownFlags(), flags), "github.com/safebox/safebox/cmd/safebox")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return nil
}

// ownFlags are those flags of this process's build that tell what the compiler makes.
func ownFlags() (flags []string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, s := range info.Settings {
		if slices.Contains([]string{"-race", "-gcflags", "-tags"}, s.Key) {
			flags = append(flags, s.Key+"="+s.Value)
		}
	}
	return flags
}
