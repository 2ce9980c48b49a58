package watch

// A Dashboard is a page of panels for one question.
type Dashboard struct {
	UID, Title, Description string
	Rows                    []Row
}

// A Row groups panels under a heading.
type Row struct {
	Title  string
	Panels []Panel
}

// A Panel shows one or more queries. Its description says what a bad value means and what to do about it.
type Panel struct {
	Title, Description string
	Unit               Unit
	Number             bool // shows the last value in large type, and no curve
	Queries            []Query
}

// A Query is PromQL with Grafana's variables, and how its series are named in the legend.
type Query struct{ Expr, Legend string }

// Unit is a unit by Grafana's name for it.
type Unit string

// The units of the panels.
const (
	Count     Unit = "short"
	PerSecond Unit = "cps"
	Seconds   Unit = "s"
	Share     Unit = "percentunit"
	Bytes     Unit = "bytes"
)

// Panels lists the panels of a dashboard in reading order.
func (d Dashboard) Panels() []Panel {
	var all []Panel
	for _, r := range d.Rows {
		all = append(all, r.Panels...)
	}
	return all
}

// Dashboards are all there are.
func Dashboards() []Dashboard { return []Dashboard{overview(), database(), initialisation()} }
