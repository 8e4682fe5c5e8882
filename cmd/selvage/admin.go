package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"selvage/cache"
	"selvage/edge"
	"selvage/purge"
	"selvage/tlsmgr"
)

// admin serves the admin endpoints: on a unix socket to whoever may open it, on TCP to whoever has a token, and the two
// health endpoints, when wanted, on a listener of their own to everybody. A token of the purge section is good for purges
// alone.
type admin struct {
	ready        func() bool
	metrics      http.Handler
	reload       func() verdict
	origins      func() []originStatus
	changeOrigin func(originChange) error
	// replaceUpstreams changes who an origin's upstreams are.
	replaceUpstreams func(origin string, s upstreamSet) error
	sites            func() *edge.Edge // which is opened last
	disk             *cache.Disk       // nil without a disk tier
	purges           *purge.API
	log              *slog.Logger
	// certificates tells of those that can run out.
	certificates func() []tlsmgr.Status

	doors []door // owned by the caller until Run, then by Run
}

// door is one listener and what is behind it.
type door struct {
	net.Listener
	http.Handler
	greet func(context.Context, net.Conn) context.Context // notes who is at the other end; nil: nobody asks
}

// listen opens every listener that c asks for. A default socket that cannot be had is logged and done without: the admin
// side never keeps the node from serving.
func (a *admin) listen(c AdminConfig, env func(string) (string, bool), uid int) (err error) {
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	path := adminSocketPath(c.Socket, env, uid)
	switch l, err := listenSocket(path); {
	case err == nil:
		a.doors = append(a.doors, door{l, a.behindSocket(), withPeer})
	case c.Socket != "":
		return fmt.Errorf("admin.socket: %w", err)
	default:
		a.log.Warn("no admin socket: reload and metrics are out of reach", "error", err)
	}
	if c.Address != "" {
		if err := a.open("admin.address", c.Address, a.behindToken(c)); err != nil {
			return err
		}
	}
	if c.Health != "" {
		return a.open("admin.health", c.Health, a.health(http.NewServeMux()))
	}
	return nil
}

func (a *admin) open(key, address string, h http.Handler) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	a.doors = append(a.doors, door{l, h, nil})
	return nil
}

func (a *admin) close() {
	for _, d := range a.doors {
		d.Close()
	}
}

// Run serves until ctx ends.
func (a *admin) Run(ctx context.Context) error {
	var doors errgroup.Group
	for _, d := range a.doors {
		server := &http.Server{
			Handler: d.Handler, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
			ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute,
			IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ConnContext: d.greet,
		}
		stop := context.AfterFunc(ctx, func() { server.Close() })
		doors.Go(func() error {
			defer stop()
			if err := server.Serve(d.Listener); !errors.Is(err, http.ErrServerClosed) {
				a.log.Error("an admin listener failed", "address", d.Addr().String(), "error", err)
			}
			return nil
		})
	}
	return doors.Wait()
}

// endpoints are all there is behind a trusted door.
func (a *admin) endpoints() http.Handler {
	mux := http.NewServeMux()
	a.health(mux)
	mux.HandleFunc("GET /metrics", forAdmin(func(w http.ResponseWriter, r *http.Request, _ *purge.Caller) {
		a.metrics.ServeHTTP(w, r)
	}))
	mux.HandleFunc("POST /v1/reload", wantJSON(forAdmin(a.serveReload)))
	a.originEndpoints(mux)
	a.siteEndpoints(mux)
	a.cacheEndpoints(mux)
	a.purgeEndpoints(mux)
	mux.HandleFunc("GET /v1/certificates", forAdmin(a.serveCertificates))
	mux.HandleFunc("GET /v1/openapi-node.yaml", forAdmin(serveNodeAPI))
	return mux
}

// purgeEndpoints adds those for purges, which decide for themselves what a Caller may.
func (a *admin) purgeEndpoints(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/purge", wantJSON(forCaller(a.purges.ServePurge)))
	mux.HandleFunc("GET /v1/purges", forCaller(a.purges.ServeHistory))
	mux.HandleFunc("GET /v1/purges/{number}", forCaller(a.purges.ServeRecord))
	mux.HandleFunc("GET /v1/openapi.yaml", forCaller(a.purges.ServeOpenAPI))
}

// health adds the endpoints that anybody may see.
func (a *admin) health(mux *http.ServeMux) http.Handler {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !a.ready() {
			answer(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		answer(w, http.StatusOK, "ready")
	})
	return mux
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// decline answers with a problem (RFC 9457).
func decline(w http.ResponseWriter, status int, detail string) {
	(&purge.Problem{Status: status, Detail: detail}).Write(w)
}

// wantJSON wants a body of JSON, which no form of a foreign web page can send.
func wantJSON(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			decline(w, http.StatusUnsupportedMediaType, "Content-Type: application/json is wanted")
			return
		}
		next(w, r)
	}
}

// serveReload reads the configuration again.
func (a *admin) serveReload(w http.ResponseWriter, _ *http.Request, _ *purge.Caller) {
	v := a.reload()
	status := http.StatusOK
	if !v.OK {
		status = http.StatusUnprocessableEntity
	}
	a.answerJSON(w, status, v)
}

func (a *admin) answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := printJSON(w, v); err != nil {
		a.log.Debug("an answer was not taken", "error", err)
	}
}
