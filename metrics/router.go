package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// routerBuckets are those of Watermill's own metrics, with a few below: the fold of a small batch takes microseconds.
var routerBuckets = []float64{.00001, .00005, .0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}

// router shows what Watermill's router does, by the names and labels of Watermill's components/metrics. Its own decorators
// look up labels and start a goroutine for each message: 2.5 µs and six allocations where this takes 0.4 µs and none.
type router struct {
	handlers map[string]deliveries
}

// deliveries are the series of one handler.
type deliveries struct {
	took          [2]prometheus.Observer // by success
	nacked, acked prometheus.Counter
}

// subscriberName is the type of the subscriber that every handler has.
const subscriberName = "bus.Subscriber"

func (r *router) register(reg prometheus.Registerer, handlers []string) {
	took := prometheus.NewHistogramVec(histogramOpts(RouterSeconds,
		"Time that handlers of Watermill's router took for a message, which has the events of a batch.", routerBuckets), []string{"handler_name", "success"})
	received := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: RouterDeliveries, Help: "Messages that Watermill's router took from its subscribers, a batch each, by whether they were acknowledged.",
	}, []string{"handler_name", "subscriber_name", "acked"})
	reg.MustRegister(took, received)
	r.handlers = make(map[string]deliveries, len(handlers)+1)
	for _, h := range with(handlers) {
		r.handlers[h] = deliveries{
			took:   [2]prometheus.Observer{took.WithLabelValues(h, "false"), took.WithLabelValues(h, "true")},
			nacked: received.WithLabelValues(h, subscriberName, "nacked"),
			acked:  received.WithLabelValues(h, subscriberName, "acked"),
		}
	}
}

// Handled is told of each message that a handler of the router had: how long, and whether it was acknowledged.
func (r *router) Handled(handler string, took time.Duration, acked bool) {
	h, known := r.handlers[handler]
	if !known {
		h = r.handlers[other]
	}
	if acked {
		h.took[1].Observe(seconds(took))
		h.acked.Inc()
		return
	}
	h.took[0].Observe(seconds(took))
	h.nacked.Inc()
}
