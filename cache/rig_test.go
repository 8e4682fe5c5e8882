package cache

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// noPurges is a journal in which nothing was ever purged.
type noPurges struct{}

func (noPurges) Applied() uint64                         { return 0 }
func (noPurges) Verdict(*Target, uint64, uint64) Verdict { return Valid }

// onePurge is a journal with a hard purge of everything, once at is not 0.
type onePurge struct{ at atomic.Uint64 }

func (p *onePurge) Applied() uint64 { return p.at.Load() }
func (p *onePurge) Verdict(_ *Target, after, upTo uint64) Verdict {
	if at := p.at.Load(); at > after && at <= upTo {
		return Hard
	}
	return Valid
}

// bench is a store, a policy, and an origin that answers what a test says.
type bench struct {
	*Store
	t        testing.TB
	stopDisk func()
	policy   *Policy
	asked    atomic.Int64
	origin   func(ctx context.Context, n int64, validate *Meta) (*http.Response, error)
}

func newBench(t *testing.T, purges Purges, maxBytes int64) *bench {
	t.Helper()
	s, err := NewStore(StoreConfig{MaxBytes: maxBytes}, SystemClock(), purges)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c := DefaultConfig()
	c.MaxObject = s.MaxObject()
	return &bench{Store: s, t: t, policy: c.Compile()}
}

func (b *bench) query(path string, fields ...string) *Query {
	h := http.Header{}
	q := NewQuery()
	q.Method, q.Host, q.Path, q.Site = "GET", "example.com", path, "example.com"
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
		q.ReduceField(fields[i], fields[i+1])
	}
	q.Fields = HeaderFields(h)
	q.MakeKey(b.policy, b.Seed())
	return &q
}

// look is rooms 3 and 4.
func (b *bench) look(q *Query) (*Object, Decision) {
	now := b.clock.Now().Mono
	o, f := b.Lookup(q, b.purges.Applied(), now)
	return o, Decide(q, b.policy, f, now)
}

func (b *bench) fill(q *Query, stale *Object, alone bool) Answer {
	return b.Fill(&Fill{
		Query: q, Policy: b.policy, Begin: b.purges.Applied(), Stale: stale, Alone: alone,
		Fetch: func(ctx context.Context, validate *Meta) (*http.Response, error) {
			return b.origin(ctx, b.asked.Add(1), validate)
		},
	})
}

// body reads an answer to its end, as a handler does.
func (b *bench) body(a Answer) (string, error) {
	if a.Response != nil {
		defer a.Response.Body.Close()
		all, err := io.ReadAll(a.Response.Body)
		return string(all), err
	}
	r := a.Object.Own.Body.NewReader(0)
	defer r.Close()
	if a.Led {
		a.Object.Own.Body.Release()
	}
	var all bytes.Buffer
	for {
		p, wait, err := r.Next(1 << 20)
		switch {
		case err == io.EOF:
			return all.String(), nil
		case err != nil:
			return all.String(), err
		case wait != nil:
			<-wait
		}
		all.Write(p)
	}
}

// get walks one request: look, decide, fill if need be, read.
func (b *bench) get(path string, fields ...string) (body, how string) {
	b.t.Helper()
	q := b.query(path, fields...)
	o, d := b.look(q)
	a := Answer{Object: o}
	how = d.Outcome.String()
	if d.Outcome != Hit {
		if a = b.fill(q, o, d.Alone); a.Err != nil {
			b.t.Fatalf("GET %s: %v", path, a.Err)
		}
	}
	body, err := b.body(a)
	if err != nil {
		b.t.Fatalf("GET %s: %v", path, err)
	}
	synctest.Wait()
	return body, how
}

// reply makes a response of field lines and a body.
func reply(status int, body io.Reader, length int64, lines ...string) *http.Response {
	h := http.Header{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.Add(name, value)
	}
	return &http.Response{StatusCode: status, Header: h, ContentLength: length, Body: io.NopCloser(body)}
}

func replyText(text string, lines ...string) *http.Response {
	return reply(200, strings.NewReader(text), int64(len(text)), lines...)
}

// trickle gives a body in steps, one every interval, and then an error or the end.
type trickle struct {
	ctx   context.Context
	steps []string
	every time.Duration
	end   error
}

func (r *trickle) Read(p []byte) (int, error) {
	if len(r.steps) == 0 {
		if r.end != nil {
			return 0, r.end
		}
		return 0, io.EOF
	}
	select {
	case <-time.After(r.every):
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	}
	n := copy(p, r.steps[0])
	if r.steps[0] = r.steps[0][n:]; r.steps[0] == "" {
		r.steps = r.steps[1:]
	}
	return n, nil
}

func inBubble(t *testing.T, purges Purges, maxBytes int64, f func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newBench(t, purges, maxBytes)) })
}
