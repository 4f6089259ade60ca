package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	listener net.Listener
	server   *http.Server
	done     chan struct{} // closed when the serving goroutine has ended
}

// openExporter listens where o says, so that an address that cannot be had is known before anything is mounted.
func openExporter(o daemonOptions) (*exporter, error) {
	if o.metrics == "" {
		return &exporter{}, nil
	}
	l, err := listen(o.metrics)
	if err != nil {
		return nil, fail(exitFailure, err, "cannot serve metrics at %s: %v", o.metrics, err)
	}
	return &exporter{listener: l}, nil
}

// serve begins to answer with what take says is counted, until close.
func (e *exporter) serve(take func() snapshot, profiles bool, log *slog.Logger) {
	if e.listener == nil {
		return
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(take), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	e.server = &http.Server{Handler: exporterPages(registry, profiles), ReadHeaderTimeout: headerDeadline}
	e.done = make(chan struct{})
	go func() {
		defer close(e.done)
		if err := e.server.Serve(e.listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are not served any more", "address", e.listener.Addr().String(), "error", err)
		}
	}()
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
		info, err := os.Lstat(path) // a file refuses connections just as well
		if err != nil {
			return nil, err
		}
		if info.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("%s is there, and is no socket", path)
		}
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

// close ends the listener and what is being answered, and waits. A socket in the file system goes with its listener. It
// may be called again.
func (e *exporter) close() {
	switch {
	case e.listener == nil:
	case e.server == nil:
		e.listener.Close()
	default:
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if e.server.Shutdown(ctx) != nil {
			e.server.Close()
		}
		<-e.done
	}
}
