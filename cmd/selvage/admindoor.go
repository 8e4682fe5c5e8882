package main

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"selvage/purge"
)

// behindSocket is for whoever may open the admin socket.
func (a *admin) behindSocket() http.Handler { return refuseBrowsers(letIn(byPeer, a.endpoints())) }

// behindToken is for whoever has a token.
func (a *admin) behindToken(c AdminConfig) http.Handler {
	return allowHosts(c, refuseBrowsers(letIn(a.byToken, a.endpoints())))
}

// identify returns who sent a request, or why they are not let in.
type identify func(*http.Request) (*purge.Caller, error)

func (a *admin) byToken(r *http.Request) (*purge.Caller, error) {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	return a.purges.Guard().ByToken(r.Header.Get("Authorization"), peer.Addr().Unmap())
}

// byPeer knows those at the other end of the admin socket.
func byPeer(r *http.Request) (*purge.Caller, error) {
	name, _ := r.Context().Value(peerKey).(string)
	return purge.LocalUser(cmp.Or(name, unknownPeer)), nil
}

// unknownPeer is somebody at the other end of the admin socket.
const unknownPeer = "unix socket"

// contextKey is for what a connection or a request is known by: a handler has no other way to learn it.
type contextKey int

const (
	peerKey   contextKey = iota // the name of the user at the other end of a connection
	callerKey                   // the *purge.Caller who sent a request
)

// withPeer notes who opened a connection.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey, peerName(c))
}

// letIn lets nobody in who is not known: they learn nothing of what is inside.
func letIn(who identify, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := who(r)
		if err != nil {
			purge.NewProblem(err).Write(w)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey, c)))
	})
}

// callerHandler is a handler that is told who asks.
type callerHandler func(http.ResponseWriter, *http.Request, *purge.Caller)

// forCaller is for everybody who was let in.
func forCaller(next callerHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		next(w, r, r.Context().Value(callerKey).(*purge.Caller))
	}
}

// forAdmin is not for those who may only purge.
func forAdmin(next callerHandler) http.HandlerFunc {
	return forCaller(func(w http.ResponseWriter, r *http.Request, who *purge.Caller) {
		if !who.Admin {
			decline(w, http.StatusForbidden, "this token is for purges alone")
			return
		}
		next(w, r, who)
	})
}

// refuseBrowsers refuses what only a browser sends, on behalf of some page: nobody opens the admin listener in one.
func refuseBrowsers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
			decline(w, http.StatusForbidden, "not for browsers")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allowHosts refuses names that nobody gave this listener: a page whose name was rebound to our address (DNS rebinding)
// still sends its own. An address in Host is no name that could be bound to another.
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
		if !slices.ContainsFunc(known, named) && host != localAddress(r) {
			decline(w, http.StatusMisdirectedRequest, "not a name of this listener; admin.hosts adds more")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// localAddress is the address that a request came to: which it is only the kernel knows where all are listened on.
func localAddress(r *http.Request) string {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		return "none"
	}
	address, _, _ := net.SplitHostPort(local.String())
	return address
}
