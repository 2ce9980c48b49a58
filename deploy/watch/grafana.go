package watch

import (
	"bytes"
	"encoding/json"

	"github.com/safebox/safebox/metrics"
)

// The model of a dashboard that Grafana 10 and later provision, as far as it is used here. Source: Grafana's documentation,
// "Dashboard JSON model".
type (
	grafana struct {
		UID           string    `json:"uid"`
		Title         string    `json:"title"`
		Description   string    `json:"description"`
		Tags          []string  `json:"tags"`
		Editable      bool      `json:"editable"`
		GraphTooltip  int       `json:"graphTooltip"` // 1: one crosshair for all panels
		Refresh       string    `json:"refresh"`
		SchemaVersion int       `json:"schemaVersion"`
		Time          timeRange `json:"time"`
		Links         []link    `json:"links"`
		Templating    variables `json:"templating"`
		Panels        []any     `json:"panels"`
	}
	timeRange struct {
		From string `json:"from"`
		To   string `json:"to"`
	}
	link struct {
		Title       string   `json:"title"`
		Type        string   `json:"type"`
		Tags        []string `json:"tags"`
		AsDropdown  bool     `json:"asDropdown"`
		KeepTime    bool     `json:"keepTime"`
		IncludeVars bool     `json:"includeVars"`
	}
	variables struct {
		List []any `json:"list"`
	}
	place struct {
		X int `json:"x"`
		Y int `json:"y"`
		W int `json:"w"`
		H int `json:"h"`
	}
	source struct {
		Type string `json:"type"`
		UID  string `json:"uid"`
	}
	heading struct {
		ID        int    `json:"id"`
		Type      string `json:"type"`
		Title     string `json:"title"`
		Collapsed bool   `json:"collapsed"`
		GridPos   place  `json:"gridPos"`
		Panels    []any  `json:"panels"`
	}
	drawn struct {
		ID          int         `json:"id"`
		Type        string      `json:"type"`
		Title       string      `json:"title"`
		Description string      `json:"description"`
		Datasource  source      `json:"datasource"`
		GridPos     place       `json:"gridPos"`
		FieldConfig fieldConfig `json:"fieldConfig"`
		Options     any         `json:"options"`
		Targets     []target    `json:"targets"`
	}
	fieldConfig struct {
		Defaults  fieldDefaults `json:"defaults"`
		Overrides []any         `json:"overrides"`
	}
	fieldDefaults struct {
		Unit   Unit           `json:"unit"`
		Min    *float64       `json:"min,omitempty"`
		Custom map[string]any `json:"custom,omitempty"`
	}
	target struct {
		RefID        string `json:"refId"`
		Datasource   source `json:"datasource"`
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
		EditorMode   string `json:"editorMode"`
		Range        bool   `json:"range"`
		Instant      bool   `json:"instant"`
		Exemplar     bool   `json:"exemplar"`
	}
)

// The grid is 24 columns wide.
const (
	gridWidth   = 24
	curveWidth  = 8
	curveHeight = 8
	numberSize  = 4
)

// JSON is the dashboard as Grafana provisions it.
func (d Dashboard) JSON() ([]byte, error) {
	from := source{Type: "prometheus", UID: "${datasource}"}
	g := grafana{
		UID: d.UID, Title: d.Title, Description: d.Description, Tags: []string{"safebox"}, GraphTooltip: 1, Refresh: "30s",
		SchemaVersion: 39, Time: timeRange{From: "now-1h", To: "now"},
		Links: []link{{Title: "Safebox", Type: "dashboards", Tags: []string{"safebox"}, AsDropdown: true, KeepTime: true, IncludeVars: true}},
		Templating: variables{List: []any{
			map[string]any{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
			map[string]any{
				"name": "instance", "label": "Replica", "type": "query", "datasource": from, "query": "label_values(" + metrics.ReplicaState + ", instance)",
				"multi": true, "includeAll": true, "allValue": ".*", "refresh": 2, "sort": 1,
				"current": map[string]any{"text": "All", "value": []string{"$__all"}},
			},
		}},
	}
	id, y := 0, 0
	next := func() int { id++; return id }
	for _, r := range d.Rows {
		g.Panels = append(g.Panels, heading{ID: next(), Type: "row", Title: r.Title, GridPos: place{Y: y, W: gridWidth, H: 1}, Panels: []any{}})
		y++
		x, height := 0, 0
		for _, p := range r.Panels {
			w, h := curveWidth, curveHeight
			if p.Number {
				w, h = numberSize, numberSize
			}
			if x+w > gridWidth {
				x, y, height = 0, y+height, 0
			}
			g.Panels = append(g.Panels, p.drawn(next(), from, place{X: x, Y: y, W: w, H: h}))
			x, height = x+w, max(height, h)
		}
		y += height
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // queries compare
	e.SetIndent("", "  ")
	err := e.Encode(g)
	return b.Bytes(), err
}

func (p Panel) drawn(id int, from source, at place) drawn {
	zero := 0.0
	d := drawn{
		ID: id, Type: "timeseries", Title: p.Title, Description: p.Description, Datasource: from, GridPos: at,
		FieldConfig: fieldConfig{
			Defaults:  fieldDefaults{Unit: p.Unit, Min: &zero, Custom: map[string]any{"fillOpacity": 8, "showPoints": "never"}},
			Overrides: []any{},
		},
		Options: map[string]any{
			"legend":  map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true},
			"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
		},
	}
	if p.Number {
		d.Type, d.FieldConfig.Defaults.Custom, d.FieldConfig.Defaults.Min = "stat", nil, nil
		d.Options = map[string]any{
			"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}}, "textMode": "value_and_name", "colorMode": "none", "graphMode": "none",
		}
	}
	for i, q := range p.Queries {
		d.Targets = append(d.Targets, target{
			RefID: string(rune('A' + i)), Datasource: from, Expr: q.Expr, LegendFormat: q.Legend, EditorMode: "code",
			Range: !p.Number, Instant: p.Number, Exemplar: !p.Number,
		})
	}
	return d
}
