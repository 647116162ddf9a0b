package test

import (
	"encoding/json"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// proxied puts a proxy of our own in front of a server at host:port.
func proxied(t *testing.T, upstream string) *toxiproxy.Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", upstream)
	require.NoError(t, p.Start())
	t.Cleanup(p.Stop)
	return p
}

// toxic is a fault of a proxy in one direction, on a share of the connections
// that are made while it is there.
type toxic struct {
	Name       string           `json:"name"`
	Type       string           `json:"type"`
	Stream     string           `json:"stream"`
	Toxicity   float32          `json:"toxicity"`
	Attributes map[string]int64 `json:"attributes"`
}

func poison(t *testing.T, p *toxiproxy.Proxy, all ...toxic) {
	t.Helper()
	for _, x := range all {
		text, err := json.Marshal(x)
		require.NoError(t, err)
		_, err = p.Toxics.AddToxicJson(strings.NewReader(string(text)))
		require.NoError(t, err)
	}
}
