package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// unixScheme begins the address of a socket in the file system.
const unixScheme = "unix:"

// headerDeadline ends a connection to the exporter that sends nothing; a scrape's request is one packet.
const headerDeadline = 10 * time.Second

// exporter serves /metrics, and /debug/pprof/ when asked. The zero value, for no --metrics, serves nothing.
type exporter struct {
	server *http.Server
	done   chan struct{} // closed when the serving goroutine has ended
}

// startExporter listens where o says and serves what s counts until close.
func startExporter(o daemonOptions, s *stack) (*exporter, error) {
	if o.metrics == "" {
		return &exporter{}, nil
	}
	l, err := listen(o.metrics)
	if err != nil {
		return nil, fail(exitFailure, err, "cannot serve metrics at %s: %v", o.metrics, err)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(s.snapshot), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	e := &exporter{
		server: &http.Server{Handler: exporterPages(registry, o.pprof), ReadHeaderTimeout: headerDeadline},
		done:   make(chan struct{}),
	}
	go func() {
		defer close(e.done)
		if err := e.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("metrics are not served any more", "address", o.metrics, "error", err)
		}
	}()
	return e, nil
}

func exporterPages(registry *prometheus.Registry, profiles bool) http.Handler {
	pages := http.NewServeMux()
	pages.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	if profiles {
		pages.HandleFunc("/debug/pprof/", pprof.Index)
		pages.HandleFunc("/debug/pprof/profile", pprof.Profile)
		pages.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		pages.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return pages
}

// listen opens HOST:PORT or unix:/PATH. Only the owner may open the socket. One that a killed process left is replaced,
// one that somebody answers at is not.
func listen(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, unixScheme)
	if !ok {
		return net.Listen("tcp", address)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, errors.New("another process serves there")
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// close ends the listener and what is being answered, and waits. A socket in the file system goes with its listener.
func (e *exporter) close() {
	if e.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if e.server.Shutdown(ctx) != nil {
		e.server.Close()
	}
	<-e.done
}
