package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/safebox/safebox/storage"
)

// other is the label value that stands for every value outside its set.
const other = "other"

// Options of New. Each list fixes the values of a label; what is not in it counts as "other".
type Options struct {
	Version    string          // of this build, for build_info; empty: "unknown"
	Commit     string          // likewise
	Dialect    storage.Dialect // of the database, for build_info; empty: "unknown"
	Statements []string        // names of the statements, as storage.Statements lists them
	Groups     []string        // consumer groups; nil: ledger
	Guards     []string        // names of the guards; nil: the three on registeredsafebox
	// TraceID names the trace that a context belongs to, if it is recorded, else "": it becomes the exemplar of what is
	// observed in it. nil: nothing is traced.
	TraceID func(context.Context) string
	Logger  *slog.Logger // for a scrape that fails; nil: slog.Default
}

// Registry holds every series of a process. It satisfies the observer interfaces of storage, initlock and the event bus.
// All of it is safe for concurrent use. It must be made by New.
type Registry struct {
	registry *prometheus.Registry
	logger   *slog.Logger

	pool
	statements
	initialisation
	engine
	router
}

// New makes a registry with every series at zero. Registries share nothing, so a test may make many.
func New(o Options) *Registry {
	if o.Groups == nil {
		o.Groups = []string{"ledger"}
	}
	if o.Guards == nil {
		o.Guards = []string{"registeredsafebox.npub", "registeredsafebox.handle", "registeredsafebox.access_key"}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	r := &Registry{registry: prometheus.NewRegistry(), logger: o.Logger}
	r.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(o),
	)
	r.pool.register(r.registry)
	r.statements.observe, r.engine.observe = observing(o.TraceID), observing(o.TraceID)
	r.statements.register(r.registry, o.Statements)
	r.initialisation.register(r.registry, o.Guards, time.Now)
	r.engine.register(r.registry, o.Groups)
	r.router.register(r.registry, o.Groups)
	return r
}

// Unmeasured says that what the database alone knows could not be read: what was true before is not shown as if it still
// were, and no comparison with it holds.
func (r *Registry) Unmeasured() {
	unknown := []prometheus.Gauge{r.oldest, r.parkedEvents, r.parkedWallets}
	unknown = slices.AppendSeq(unknown, maps.Values(r.backlog))
	unknown = slices.AppendSeq(unknown, maps.Values(r.markers))
	for _, g := range unknown {
		g.Set(math.NaN())
	}
}

// Handler answers a scrape. A collector that fails costs its own series alone: the others are still worth having.
func (r *Registry) Handler() http.Handler {
	return promhttp.HandlerFor(r.registry, promhttp.HandlerOpts{
		ErrorLog:            scrapeLog{r.logger},
		ErrorHandling:       promhttp.ContinueOnError,
		EnableOpenMetrics:   true, // which carries exemplars
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	})
}

// scrapeLog gives the Prometheus handler the one method it wants of a logger.
type scrapeLog struct{ *slog.Logger }

// Println is told of collectors that failed, and of each family that could not be sent to a scraper that hung up: that is
// the scraper's to report.
func (l scrapeLog) Println(v ...any) {
	level := slog.LevelWarn
	if what, _ := v[0].(string); strings.HasPrefix(what, "error encoding and sending") {
		level = slog.LevelDebug
	}
	l.Log(context.Background(), level, "metrics: scrape incomplete", "problem", strings.TrimSpace(fmt.Sprintln(v...)))
}

func buildInfo(o Options) prometheus.Collector {
	known := func(s string) string {
		if s == "" {
			return "unknown"
		}
		return s
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: BuildInfo,
		Help: "Always 1; the labels tell the build and the kind of database.",
		ConstLabels: prometheus.Labels{
			"version":   known(o.Version),
			"commit":    known(o.Commit),
			"dialect":   known(string(o.Dialect)),
			"goversion": runtime.Version(),
		},
	})
	g.Set(1)
	return g
}
