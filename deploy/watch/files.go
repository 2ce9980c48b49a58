package watch

import (
	"path"
	"strings"
)

// Files is all that is made, by path below deploy.
func Files() (map[string][]byte, error) {
	files := map[string][]byte{"prometheus/rules/safebox.yml": Rules(Production)}
	for _, d := range Dashboards() {
		content, err := d.JSON()
		if err != nil {
			return nil, err
		}
		files[path.Join("grafana/dashboards", d.File()+".json")] = content
	}
	return files, nil
}

// File is the name of the dashboard's file, without what its kind adds.
func (d Dashboard) File() string { return strings.TrimPrefix(d.UID, "safebox-") }
