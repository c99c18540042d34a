package worker

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// pullUser is the name that goes with the node's own password for images.
const pullUser = "cupola-pull"

// images is where Docker on this machine finds the platform's images: on loopback, where it needs no certificate. It
// passes requests on to the controller with the node's. The password keeps other users of the machine out.
func images(p *papers, password string, log *slog.Logger) http.Handler {
	transport := &http.Transport{
		TLSClientConfig: p.client(), MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: time.Minute, TLSHandshakeTimeout: callLimit,
	}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: p.node.Server})
			r.Out.Header.Del("Authorization")
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	want := sha256.Sum256([]byte(pullUser + ":" + password))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, given, _ := r.BasicAuth()
		got := sha256.Sum256([]byte(user + ":" + given))
		switch {
		case subtle.ConstantTimeCompare(got[:], want[:]) != 1:
			w.Header().Set("WWW-Authenticate", `Basic realm="cupola node"`)
			w.WriteHeader(http.StatusUnauthorized)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			http.Error(w, "images are only read here", http.StatusMethodNotAllowed)
		case !strings.HasPrefix(r.URL.Path, "/v2/"):
			http.NotFound(w, r)
		default:
			proxy.ServeHTTP(w, r)
		}
	})
}

// serve answers at the listener until ctx ends.
func serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	err := server.Close() // sessions and lists that wait would not end by themselves
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}
