package integration

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// wire is a stretch of TCP in front of the server that can go bad below HTTP: it loses, resets and slows connections,
// which the proxy, a party to HTTP, cannot.
type wire struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// newWire leads to the server at endpoint for the life of the test.
func newWire(t *testing.T, endpoint string) *wire {
	t.Helper()
	target := must[*url.URL](t)(url.Parse(endpoint))
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	w := &wire{t: t, proxy: toxiproxy.NewProxy(server, shared.names("wire"), "127.0.0.1:0", target.Host)}
	if err := w.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.proxy.Stop)
	return w
}

// endpoint is the near end as a URL.
func (w *wire) endpoint() string { return "http://" + w.proxy.Listen }

// spoil adds a toxic to what comes from the server, on connections that are open and on those to come.
func (w *wire) spoil(kind string, attributes map[string]any) {
	w.t.Helper()
	text := must[[]byte](w.t)(json.Marshal(map[string]any{"type": kind, "attributes": attributes}))
	if _, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
		w.t.Fatal(err)
	}
}

// mend removes all toxics.
func (w *wire) mend() { w.proxy.Toxics.ResetToxics(context.Background()) }
