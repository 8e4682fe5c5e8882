package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// scriptedOrigin answers on the memory network as the scenario's origin statements say. It writes every byte itself:
// most of what it is for, net/http would not let it say.
type scriptedOrigin struct {
	name    string
	network *memoryNetwork
	expand  func(string) string // $now and its kin
	ctx     context.Context     // ends with the scenario
	cancel  context.CancelFunc
	wg      sync.WaitGroup // the accept loop and every connection

	mu       sync.Mutex
	listener net.Listener // nil while down
	conns    map[*memoryConn]bool
	accepted int
	rules    []*rule
	requests []*received
	stray    []string // requests that no rule answers
}

// rule says what the origin answers to which requests, one answer after another; the last repeats.
type rule struct {
	method, target string
	when           *fieldLine // the request must have it
	answers        []*message
	given          int
}

// received is a request as the origin saw it.
type received struct {
	method, target string
	host           string
	header         http.Header
	body           []byte
	bodyErr        error
	aborted        bool // the other side left before it had the whole answer
}

func newScriptedOrigin(name string, network *memoryNetwork, expand func(string) string) *scriptedOrigin {
	o := &scriptedOrigin{name: name, network: network, expand: expand, conns: map[*memoryConn]bool{}}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	return o
}

func (o *scriptedOrigin) address() string { return o.name + ":80" }

// up listens, and goes on where it was when it went down.
func (o *scriptedOrigin) up() error {
	o.network.setDeaf(o.address(), false)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.listener != nil {
		return nil
	}
	l, err := o.network.Listen("tcp", o.address())
	if err != nil {
		return err
	}
	o.listener = l
	o.wg.Go(func() { o.accept(l) })
	return nil
}

// down refuses connections and breaks those there are.
func (o *scriptedOrigin) down() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.listener != nil {
		o.listener.Close()
		o.listener = nil
	}
	for c := range o.conns {
		c.reset()
	}
}

// stop ends everything and waits for it.
func (o *scriptedOrigin) stop() {
	o.cancel()
	o.down()
	o.wg.Wait()
}

func (o *scriptedOrigin) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		conn := c.(*memoryConn)
		o.mu.Lock()
		o.conns[conn] = true
		o.accepted++
		o.mu.Unlock()
		o.wg.Go(func() { o.serve(conn) })
	}
}

func (o *scriptedOrigin) serve(c *memoryConn) {
	defer func() {
		c.Close()
		o.mu.Lock()
		delete(o.conns, c)
		o.mu.Unlock()
	}()
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		seen := &received{method: r.Method, target: r.RequestURI, host: r.Host, header: r.Header}
		m := o.choose(seen)
		if !m.early {
			if r.Header.Get("Expect") != "" {
				io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
			}
			seen.body, seen.bodyErr = io.ReadAll(r.Body)
		}
		t := &turn{origin: o, conn: c, in: in, request: seen}
		if err := t.perform(m); err != nil {
			o.mu.Lock()
			seen.aborted = errors.Is(err, errPeerLeft)
			o.mu.Unlock()
			return
		}
	}
}

// choose notes the request and takes the next answer of the rule that fits it best.
func (o *scriptedOrigin) choose(r *received) *message {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests = append(o.requests, r)
	for _, found := range o.rules {
		if !found.fits(r, o.expand) {
			continue
		}
		m := found.answers[min(found.given, len(found.answers)-1)]
		found.given++
		return m
	}
	o.stray = append(o.stray, r.method+" "+r.target)
	return &message{status: http.StatusTeapot, length: -1}
}

// script adds a rule. One for the same requests is replaced; the more a rule says, the earlier it is asked.
func (o *scriptedOrigin) script(r *rule) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rules = slices.DeleteFunc(o.rules, func(old *rule) bool {
		sameWhen := (old.when == nil) == (r.when == nil) && (r.when == nil || *old.when == *r.when)
		return sameWhen && old.method == r.method && old.target == r.target
	})
	fresh := &rule{method: r.method, target: r.target, when: r.when, answers: r.answers}
	o.rules = append(o.rules, fresh)
	slices.SortStableFunc(o.rules, func(a, b *rule) int { return b.precision() - a.precision() })
}

// precision counts what a rule says of the requests it is for.
func (r *rule) precision() (n int) {
	if r.when != nil {
		n += 4
	}
	if strings.Contains(r.target, "?") {
		n += 2
	}
	if r.method != "" {
		n++
	}
	return n
}

func (r *rule) fits(q *received, expand func(string) string) bool {
	if r.when != nil && strings.Join(q.header.Values(r.when.name), ", ") != expand(r.when.value) {
		return false
	}
	if r.method == "GET" && q.method == "HEAD" {
		return q.asksFor("HEAD", r.target)
	}
	return q.asksFor(r.method, r.target)
}

// asksFor reports whether the request has the method ("" is any) and the target; a target without ? fits any query.
func (r *received) asksFor(method, target string) bool {
	got := r.target
	if !strings.Contains(target, "?") {
		got, _, _ = strings.Cut(got, "?")
	}
	return (method == "" || method == r.method) && got == target
}
