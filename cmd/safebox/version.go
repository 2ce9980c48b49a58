package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/migrations"
)

func (a *app) versionCommand() *cobra.Command {
	c := a.printing(&cobra.Command{
		Use: "version", Short: "Say which build this is",
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version  string `json:"version"`
				Commit   string `json:"commit"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
				Revision string `json:"revision"` // the newest revision of the schema that it knows
			}{version, commit(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, migrations.Latest()}
			return a.print(v, func() error {
				return a.printf("safebox %s (commit %s, schema %s, %s, %s)", v.Version, v.Commit, v.Revision, v.Go, v.Platform)
			})
		},
	})
	c.Annotations = map[string]string{unconfigured: "yes"}
	return c
}

// commit is the revision of the sources that the build recorded, shortened.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return "unknown"
}
