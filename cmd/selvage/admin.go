package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"selvage/cache"
	"selvage/tlsmgr"
)

// admin serves the admin endpoints: on a unix socket to whoever may open it, on TCP to whoever has the token, and the two
// health endpoints, when wanted, on a listener of their own to everybody.
type admin struct {
	ready   func() bool
	metrics http.Handler
	reload  func() verdict
	origins func() []originStatus
	disk    *cache.Disk            // nil without a disk tier
	purge   func(url string) error // puts a hard purge of a purge URL in force
	log     *slog.Logger
	// certificates tells of those that can run out.
	certificates func() []tlsmgr.Status

	doors []door // owned by the caller until Run, then by Run
}

// door is one listener and what is behind it.
type door struct {
	net.Listener
	http.Handler
}

// listen opens every listener that c asks for. A default socket that cannot be had is logged and done without: the admin
// side never keeps the node from serving.
func (a *admin) listen(c AdminConfig, m machine, uid int) (err error) {
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	path := adminSocketPath(c.Socket, m.env, uid)
	switch l, err := listenSocket(path); {
	case err == nil:
		a.doors = append(a.doors, door{l, refuseBrowsers(a.endpoints())})
	case c.Socket != "":
		return fmt.Errorf("admin.socket: %w", err)
	default:
		a.log.Warn("no admin socket: reload and metrics are out of reach", "error", err)
	}
	if c.Address != "" {
		token, err := c.token(m)
		if err != nil {
			return fmt.Errorf("admin.token: %w", err)
		}
		guarded := allowHosts(c, refuseBrowsers(requireToken(token, a.endpoints())))
		if err := a.open("admin.address", c.Address, guarded); err != nil {
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
	a.doors = append(a.doors, door{l, h})
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
			IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
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
	mux.Handle("GET /metrics", a.metrics)
	mux.HandleFunc("POST /v1/reload", wantJSON(a.serveReload))
	mux.HandleFunc("GET /v1/origins", func(w http.ResponseWriter, _ *http.Request) { a.answerJSON(w, http.StatusOK, a.origins()) })
	a.cacheEndpoints(mux)
	mux.HandleFunc("GET /v1/certificates", a.serveCertificates)
	return mux
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

// wantJSON wants a body of JSON, which no form of a foreign web page can send.
func wantJSON(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			answer(w, http.StatusUnsupportedMediaType, "Content-Type: application/json is wanted")
			return
		}
		next(w, r)
	}
}

// serveReload reads the configuration again.
func (a *admin) serveReload(w http.ResponseWriter, _ *http.Request) {
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

// refuseBrowsers refuses what only a browser sends, on behalf of some page: nobody opens the admin listener in one.
func refuseBrowsers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
			answer(w, http.StatusForbidden, "not for browsers")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allowHosts refuses names that nobody gave this listener: a page whose name was rebound to our address (DNS rebinding)
// still sends its own.
func allowHosts(c AdminConfig, next http.Handler) http.Handler {
	address, _, _ := net.SplitHostPort(c.Address)
	known := append([]string{address, "localhost", "127.0.0.1", "::1"}, c.Hosts...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		named := func(known string) bool { return host != "" && strings.EqualFold(known, host) }
		if !slices.ContainsFunc(known, named) {
			answer(w, http.StatusMisdirectedRequest, "not a name of this listener; admin.hosts adds more")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// requireToken wants the bearer token (RFC 6750, section 2.1). Hashes are compared, so that the time taken says nothing
// about the token's length either.
func requireToken(token string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(strings.TrimSpace(given)))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="selvage"`)
			answer(w, http.StatusUnauthorized, "a token is wanted")
			return
		}
		next.ServeHTTP(w, r)
	})
}
