package faulttest

import (
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// proxy stands between a victim and the server.
type proxy struct{ *toxiproxy.Proxy }

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	log := zerolog.Nop()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), log)
	p := &proxy{toxiproxy.NewProxy(api, "server", "127.0.0.1:0", server)}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Toxics.ResetToxics(t.Context()) // what is stalled cannot end
		p.Stop()
	})
	return p
}

func (p *proxy) address() string { return p.Listen }

// cut ends every connection through the proxy, which then takes new ones.
func (p *proxy) cut(t *testing.T) {
	t.Helper()
	p.Stop()
	// A connection that another process opens just now may have been given the port of this listener.
	err := p.Start()
	for began := time.Now(); err != nil && time.Since(began) < limit; err = p.Start() {
		<-time.After(10 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// stall makes the proxy pass nothing on any more, in either direction, while it keeps every connection open and
// acknowledges all that arrives.
func (p *proxy) stall(t *testing.T) {
	t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		_, err := p.Toxics.AddToxicJson(strings.NewReader(`{"type": "timeout", "name": "` + stream + `", "stream": "` + stream + `", "attributes": {"timeout": 0}}`))
		if err != nil {
			t.Fatal(err)
		}
	}
}
