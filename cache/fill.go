package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// Sizes and times of fills.
const (
	firstChunk   = 16 << 10 // of a body of unknown length; doubles from there
	largestChunk = 1 << 20
	streamWindow = 8 << 20         // of a body that turned out too large to keep
	errorBody    = 1 << 20         // of a 5xx that is shared by those who wait for it
	budgetWait   = 5 * time.Second // for room among the bodies that are filling
	markerTTL    = 10 * time.Second
	troubleFirst = 2 * time.Second // doubles to troubleLast while fetches keep failing
	troubleLast  = 30 * time.Second
)

// Errors of fills.
var (
	// ErrBusy: too many bytes are being fetched at once.
	ErrBusy = errors.New("no room for another fill")
	// ErrProtocol: the origin gave an answer that nobody asked for.
	ErrProtocol = errors.New("unexpected answer from the origin")
)

// Fill is one fetch that a request wants made.
type Fill struct {
	Query  *Query // must stay as it is after the request has ended
	Policy *Policy
	Begin  uint64  // purges applied when the request began
	Stale  *Object // to be validated; nil for none
	Alone  bool    // share neither the fetch nor its answer
	// Fetch asks the origin for the whole content, with Stale's validators if validate is not nil. It returns once the head
	// is there. It runs for at most one request at a time of all that wait for the same claim, and ctx does not end with
	// that request.
	Fetch func(ctx context.Context, validate *Meta) (*http.Response, error)
	// Unreachable reports whether an error of Fetch, or of its answer's body, means that the origin said nothing at all; nil
	// takes every error for that.
	Unreachable func(error) bool
}

// trouble says what a fetch that failed came to: err is nil where there was an answer.
func (f *Fill) trouble(err error) Trouble {
	if err == nil || f.Unreachable != nil && !f.Unreachable(err) {
		return ErrorStatus
	}
	return Unreachable
}

// Answer is what a fill came to, for one of those who waited for it. One of Object, Response and Err is set, or Excluded.
type Answer struct {
	Object    *Object        // to respond from; the leader calls Object.Own.Body.Release once it reads, or will not
	Response  *http.Response // not stored: for the leader alone, who closes its body
	Admission Admission      // of the leader's answer
	Validated bool           // by a 304
	Status    int            // the origin's; 0 when none came
	Led       bool           // this request made the fetch
	Excluded  bool           // the answer is for others: look again
	Err       error
}

// Fill makes the fetch, or waits for the one under way and shares what it comes to.
func (s *Store) Fill(f *Fill) Answer {
	if f.Alone {
		a := s.attempt(f)
		a.Led = true
		return a
	}
	led := false
	shared, _, _ := s.flights.Do(s.claimOf(f), func() (any, error) {
		// Another fill may have ended between the look-up and the claim.
		if o, found := s.look(f.Query, f.Begin); o != f.Stale && s.suits(f, o, found) {
			return Answer{Object: o, Status: o.Meta.Status}, nil
		}
		led = true
		return s.attempt(f), nil
	})
	a := shared.(Answer)
	if a.Led = led; led {
		s.stats.Led.Add(1)
		return a
	}
	return s.share(f, a)
}

// share says what of another request's answer is for this one.
func (s *Store) share(f *Fill, a Answer) Answer {
	s.stats.Coalesced.Add(1)
	if a.Err != nil {
		return a
	}
	o := a.Object
	if o == nil || o.Key != f.Query.Key || o.Variant != VariantKey(f.Query, o.Meta.Vary) || o.Verdict(s.purges, f.Begin) != Valid {
		return Answer{Excluded: true}
	}
	if sharedError(a.Admission, o.Meta.Status) || s.suits(f, o, Found{Meta: o.Meta}) {
		return a
	}
	return Answer{Excluded: true}
}

// suits reports whether o can be used by the fill's request as it is.
func (s *Store) suits(f *Fill, o *Object, found Found) bool {
	return o != nil && Decide(f.Query, f.Policy, found, s.clock.Now().Mono).Outcome == Hit
}

// sharedError reports whether an unstored answer is for all who waited for it: a 5xx has no better answer behind it.
func sharedError(a Admission, status int) bool { return !a.Store && status >= 500 }

// Refresh makes the fetch with nobody waiting, unless one for the same claim is being made that way already.
func (s *Store) Refresh(f *Fill) {
	claim := s.claimOf(f)
	if _, running := s.refreshing.LoadOrStore(claim, true); running {
		return
	}
	s.fills.Go(func() {
		defer s.refreshing.Delete(claim)
		s.stats.Refreshed.Add(1)
		switch a := s.Fill(f); {
		case a.Response != nil:
			a.Response.Body.Close()
		case a.Object != nil && a.Led:
			a.Object.Own.Body.Release()
		}
	})
}

// claimOf names what the fill fetches: the variant where the key's Vary is known, else the key.
func (s *Store) claimOf(f *Fill) string {
	if set := s.table.find(f.Query.Hash, f.Query.Key); set != nil {
		return claim(f.Query, set.vary)
	}
	return f.Query.Key
}

func claim(q *Query, vary []string) string {
	if len(vary) == 0 {
		return q.Key
	}
	return q.Key + VariantKey(q, vary)
}

// attempt asks the origin and judges its answer.
func (s *Store) attempt(f *Fill) Answer {
	ctx, cancel := context.WithCancel(s.ctx)
	validate := f.Stale
	for {
		epoch := s.purges.Applied() // before the origin is asked: what is purged from here on purges this too
		r, resp, err := s.ask(ctx, f, validate)
		if err != nil {
			cancel()
			return s.failed(f, Answer{Err: err})
		}
		resp.Body = &cancelBody{resp.Body, cancel}
		switch {
		case resp.StatusCode == http.StatusNotModified && validate != nil:
			if !Validates(validate.Meta, r) {
				resp.Body.Close()
				ctx, cancel = context.WithCancel(s.ctx)
				validate = nil // it validated something else: ask for the whole
				continue
			}
			resp.Body.Close()
			return s.validated(f, validate, r, epoch)
		case resp.StatusCode == http.StatusNotModified, resp.StatusCode == http.StatusPartialContent:
			resp.Body.Close()
			return s.failed(f, Answer{Err: fmt.Errorf("%w: %d to an unconditional request for the whole", ErrProtocol, resp.StatusCode)})
		}
		return s.received(ctx, f, r, resp, epoch)
	}
}

func (s *Store) ask(ctx context.Context, f *Fill, validate *Object) (*Response, *http.Response, error) {
	var meta *Meta
	if validate != nil {
		meta = validate.Meta
	}
	requested := s.clock.Now()
	resp, err := f.Fetch(ctx, meta)
	if err != nil {
		return nil, nil, err
	}
	return &Response{
		Proto: resp.Proto, Status: resp.StatusCode, Header: resp.Header, Length: resp.ContentLength,
		Requested: requested, Received: s.clock.Now(),
	}, resp, nil
}

// validated publishes what a 304 made of the stale object.
func (s *Store) validated(f *Fill, stale *Object, r *Response, epoch uint64) Answer {
	s.trouble.drop(claim(f.Query, stale.Meta.Vary))
	a := Freshen(f.Query, f.Policy, stale.Meta, r)
	a.Meta.Epoch = epoch
	o := stale.freshened(a.Meta, VariantKey(f.Query, a.Meta.Vary))
	switch {
	case a.Store:
		s.keep(o)
	case a.HitForMiss: // it has become private, or refuses storing otherwise
		s.refuse(f, epoch)
	}
	return Answer{Object: o, Admission: a, Validated: true, Status: r.Status}
}

// received judges a whole answer, and begins to keep it if it may be kept.
func (s *Store) received(ctx context.Context, f *Fill, r *Response, resp *http.Response, epoch uint64) Answer {
	a := Answer{Status: r.Status, Admission: Admit(f.Query, f.Policy, r)}
	a.Admission.Meta.Epoch = epoch
	if IsErrorStatus(r.Status) {
		s.failed(f, a)
	} else {
		s.trouble.drop(s.claimOf(f))
	}
	if a.Admission.HitForMiss {
		s.refuse(f, epoch)
	}
	shared := sharedError(a.Admission, r.Status) && !f.Alone
	if !a.Admission.Store && !shared {
		a.Response = resp
		return a
	}
	p := &pump{store: s, fill: f, from: resp.Body, keep: a.Admission.Store, limit: f.Policy.limit(s.max)}
	if shared {
		p.limit = min(errorBody, s.max)
	}
	if err := p.reserve(ctx, r.Length); err != nil {
		resp.Body.Close()
		return Answer{Err: err}
	}
	a.Object = s.newObject(f.Query, a.Admission.Meta, newBody(r.Length))
	p.object = a.Object
	if p.keep {
		s.offer(a.Object)
	}
	s.fills.Go(p.run)
	return a
}

func (s *Store) newObject(q *Query, m *Meta, b *Body) *Object {
	o := &Object{
		Key: q.Key, Hash: q.Hash, Variant: VariantKey(q, m.Vary), Meta: m,
		Own:  Representation{Coding: m.Coding, ETag: m.ETag, Body: b},
		Site: q.Site, Host: q.Host, URL: q.PurgeURL(),
	}
	o.checked.Store(m.Epoch)
	return o
}

// remove lets go of an object that was stored.
func (s *Store) remove(o *Object) {
	s.forget(o)
	s.ram.Drop(policyKey(o.Hash, o.Variant))
}

// refuse notes that the newest answer for the key refuses storing, so that requests for it need not wait for one another.
// What it was to replace goes: the origin has something newer to say, and neither a window of RFC 5861 nor an unreachable
// origin may bring the old back.
func (s *Store) refuse(f *Fill, epoch uint64) {
	if f.Stale != nil {
		s.remove(f.Stale)
	}
	now := s.clock.Now().Mono
	s.markers.put(f.Query.Key, memo{until: now.Add(markerTTL), epoch: epoch}, now)
}

// failed notes that a fetch came to nothing, so that what is stale is served at once for a while.
func (s *Store) failed(f *Fill, a Answer) Answer {
	s.stats.Failed.Add(1)
	key, now := s.claimOf(f), s.clock.Now().Mono
	span := min(max(2*s.trouble.last(key).span, troubleFirst), troubleLast)
	s.trouble.put(key, memo{until: now.Add(span), span: span, kind: f.trouble(a.Err)}, now)
	return a
}

// pump moves a body from the origin into an Object. It runs on its own: no client can end it.
type pump struct {
	store    *Store
	fill     *Fill
	object   *Object
	from     io.ReadCloser
	keep     bool  // the Object is in the table and to be stored
	limit    int64 // largest body to hold whole
	reserved int64 // of the store's budget
	window   int64 // once the body is a stream
	chunk    []byte
}

// reserve waits for room for a body of the given length, -1 for unknown.
func (p *pump) reserve(ctx context.Context, length int64) error {
	want := min(max(length, firstChunk), p.limit)
	ctx, cancel := context.WithTimeout(ctx, budgetWait)
	defer cancel()
	if err := p.store.budget.Acquire(ctx, want); err != nil {
		return ErrBusy
	}
	p.reserved = want
	return nil
}

func (p *pump) run() {
	p.store.stats.Filling.Add(1)
	err := p.move()
	p.from.Close()
	body := p.object.Own.Body
	switch {
	case err != nil:
		if p.keep { // first, so that nobody joins what has failed
			p.store.forget(p.object)
			p.store.failed(p.fill, Answer{Err: err})
		}
		body.finish(err)
	case p.keep:
		body.finish(nil)
		p.store.keep(p.object)
	default:
		body.finish(nil)
	}
	p.store.budget.Release(p.reserved)
	p.store.stats.Filling.Add(-1)
}

// move reads to the end of the body.
func (p *pump) move() error {
	body := p.object.Own.Body
	want, known := body.Length()
	for total := int64(0); !known || total < want; {
		if !body.room() {
			return ErrAbandoned
		}
		if len(p.chunk) == cap(p.chunk) {
			p.grow(total, want)
		}
		n, err := p.from.Read(p.chunk[len(p.chunk):cap(p.chunk)])
		if n > 0 {
			body.append(p.chunk[len(p.chunk) : len(p.chunk)+n])
			p.chunk = p.chunk[:len(p.chunk)+n]
			total += int64(n)
		}
		switch {
		case err == io.EOF && known && total < want:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
	return p.end()
}

// end makes sure that a body of known length stops there.
func (p *pump) end() error {
	var more [1]byte
	for {
		switch n, err := p.from.Read(more[:]); {
		case n > 0:
			return fmt.Errorf("%w: body longer than announced", ErrProtocol)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// grow takes the next chunk: of the size that is left where the length is known, else twice the last. A body that has
// come to its limit, or finds no more room in the budget, becomes a stream.
func (p *pump) grow(total, want int64) {
	size := min(max(firstChunk, 2*int64(cap(p.chunk))), largestChunk)
	if want >= 0 {
		size = min(want-total, largestChunk)
	}
	if missing := total + size - p.reserved; missing > 0 && p.window == 0 {
		if p.reserved+missing <= p.limit && p.store.budget.TryAcquire(missing) {
			p.reserved += missing
		} else {
			p.stream()
		}
	}
	if p.window > 0 {
		size = min(size, p.window)
	}
	p.chunk = make([]byte, 0, size)
}

// stream gives up keeping the body whole: those who read it go on, nobody else joins.
func (p *pump) stream() {
	if p.keep {
		p.keep = false
		p.store.forget(p.object)
		p.store.refuse(p.fill, p.object.Meta.Epoch)
	}
	if p.window == 0 {
		p.window = min(streamWindow, p.reserved)
		p.object.Own.Body.stream(p.window)
	}
}

// cancelBody ends the fill's context with the body.
type cancelBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *cancelBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}

// Stats count what the Store does. Gauges are named as what there is, counters as what was done.
type Stats struct {
	Filling   atomic.Int64 // bodies being fetched
	Led       atomic.Int64 // fetches made with someone waiting
	Coalesced atomic.Int64 // requests that waited for another's fetch
	Refreshed atomic.Int64 // fetches made in the background
	Failed    atomic.Int64 // fetches without a usable answer
}

// Stats returns the live counters.
func (s *Store) Stats() *Stats { return &s.stats }

// Objects returns the number of objects stored, and Bytes what they cost.
func (s *Store) Objects() int64 { return s.table.count.Load() }

// Bytes returns the cost of the objects stored.
func (s *Store) Bytes() int64 { return s.ram.Used() }
