package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/migrations"
)

func (a *app) migrateNew() *cobra.Command {
	var dir string
	c := a.printing(&cobra.Command{
		Use: "new NAME", Short: "Lay out the next revision, a file for each dialect, in a checkout of the source",
		Args:        exactly("a name"),
		Annotations: map[string]string{unconfigured: "yes"},
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := migrations.New(dir, args[0], time.Now())
			if err != nil {
				return err
			}
			answer := struct {
				Files []string `json:"files"`
			}{files}
			return a.print(answer, func() error {
				for _, f := range files {
					if err := a.printf("%s", f); err != nil {
						return err
					}
				}
				return nil
			})
		},
	})
	c.Flags().StringVar(&dir, "dir", "migrations", "the `FOLDER` of the migrations")
	return c
}
