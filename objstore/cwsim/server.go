package cwsim

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
)

// Server has a [Store] listen on loopback, as an HTTP proxy: plain requests in it are for LOTA, tunnels lead to the
// store's TLS endpoint.
type Server struct {
	proxy *httptest.Server
	tls   *httptest.Server
}

// Serve starts one. The caller closes it.
func Serve(store *Store) (*Server, error) {
	pair, err := newCertificate(OriginHost, "*."+OriginHost)
	if err != nil {
		return nil, err
	}
	s := &Server{tls: httptest.NewUnstartedServer(store)}
	s.tls.TLS = pair.config()
	s.tls.StartTLS()
	s.proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			s.tunnel(w)
			return
		}
		store.ServeHTTP(w, r)
	}))
	return s, nil
}

// URL is what HTTP_PROXY and HTTPS_PROXY have to say.
func (s *Server) URL() string { return s.proxy.URL }

// Authority is the certificate to trust, in PEM.
func (s *Server) Authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.tls.TLS.Certificates[0].Certificate[0]})
}

// Close ends it, with the connections it has.
func (s *Server) Close() {
	s.tls.CloseClientConnections()
	s.proxy.Close()
	s.tls.Close()
}

// tunnel joins a client to the TLS endpoint until either side ends.
func (s *Server) tunnel(w http.ResponseWriter) {
	far, err := net.Dial("tcp", s.tls.Listener.Addr().String())
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(far, buffered)
		_ = far.Close()
	})
	_, _ = io.Copy(near, far)
	_ = near.Close()
	both.Wait()
}
