package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/safebox/safebox/storage"
)

// closeReasons are the reasons that storage.PoolStats counts closed connections by.
var closeReasons = []string{"recycle", "overflow", "idle", "broken", "shutdown"}

// acquireBuckets run from a connection that lay ready to the default timeout of 30 s and what lies beyond it.
var acquireBuckets = []float64{.00001, .0001, .001, .005, .025, .1, .5, 1, 5, 15, 30, 60}

// pool shows the connection pool: the waits as they are observed, all else as the pool tells it at the scrape.
type pool struct {
	stats          atomic.Pointer[func() storage.PoolStats]
	acquireSeconds prometheus.Histogram
	connections    *prometheus.Desc
	maxConnections *prometheus.Desc
	acquires       *prometheus.Desc
	emptyAcquires  *prometheus.Desc
	emptyWait      *prometheus.Desc
	timeouts       *prometheus.Desc
	opened         *prometheus.Desc
	closed         *prometheus.Desc
}

func (p *pool) register(reg prometheus.Registerer) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	p.connections = desc(PoolConnections, "Connections of the pool now, by state: idle or in_use.", "state")
	p.maxConnections = desc(PoolMax, "Most connections that the pool may open.")
	p.acquires = desc(PoolAcquires, "Connections handed out.")
	p.emptyAcquires = desc(PoolEmptyAcquires, "Connections handed out after a wait because none was idle.")
	p.emptyWait = desc(PoolEmptyWaitSeconds, "Time that callers waited because no connection was idle.")
	p.timeouts = desc(PoolAcquireTimeouts, "Callers that gave up because no connection came free in time.")
	p.opened = desc(PoolOpened, "Connections opened.")
	p.closed = desc(PoolClosed, "Connections closed, by reason.", "reason")
	p.acquireSeconds = histogram(reg, PoolAcquireSeconds,
		"Time that callers waited for a connection, those who gave up included.", acquireBuckets)
	reg.MustRegister((*poolCollector)(p))
}

// WatchPool reads the pool's figures from stats at every scrape. Until it is called they are zero.
func (p *pool) WatchPool(stats func() storage.PoolStats) { p.stats.Store(&stats) }

// Acquire is told how long a caller waited for a connection. The ones who gave up are counted by the pool itself.
func (p *pool) Acquire(took time.Duration, _ bool) { p.acquireSeconds.Observe(seconds(took)) }

// poolCollector keeps the two methods of a collector away from the registry's own.
type poolCollector pool

func (c *poolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.connections, c.maxConnections, c.acquires, c.emptyAcquires, c.emptyWait, c.timeouts, c.opened, c.closed,
	} {
		ch <- d
	}
}

func (c *poolCollector) Collect(ch chan<- prometheus.Metric) {
	var s storage.PoolStats
	if stats := c.stats.Load(); stats != nil {
		s = (*stats)()
	}
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge(c.connections, s.Idle, "idle")
	gauge(c.connections, s.InUse, "in_use")
	gauge(c.maxConnections, s.Max)
	counter(c.acquires, float64(s.Acquires))
	counter(c.emptyAcquires, float64(s.EmptyAcquires))
	counter(c.emptyWait, seconds(s.EmptyWait))
	counter(c.timeouts, float64(s.Timeouts))
	counter(c.opened, float64(s.Opened))
	var known, all int64
	for _, n := range s.Closed {
		all += n
	}
	for _, reason := range closeReasons {
		known += s.Closed[reason]
		counter(c.closed, float64(s.Closed[reason]), reason)
	}
	counter(c.closed, float64(all-known), other)
}
