package cache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"selvage/cache/internal/disk"
)

// Times of fills.
const (
	markerTTL    = 10 * time.Second // of a hit-for-miss marker
	troubleFirst = 2 * time.Second  // of a back-off; doubles to troubleLast while fetches keep failing
	troubleLast  = 30 * time.Second
	maxRefreshes = 1024 // fetches in the background at a time
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
	// that request, nor with the answer: what that holds ends with its Body, also with a Close while a Read of it waits.
	// By a method Arrived that Body may say that it is known to be here to its end, so that no Read will wait.
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
	Object    *Object        // to respond from
	Response  *http.Response // not stored: for the leader alone
	Admission Admission      // of the leader's answer
	Validated bool           // by a 304
	Status    int            // the origin's; 0 when none came
	Led       bool           // this request made the fetch
	Excluded  bool           // the answer is for others: look again
	Err       error
}

// Release lets go of what the answer keeps for its request, which has answered from it or will not. A leader keeps a place
// among the readers of the body it asked for, but none in one that another fill has made. A second call does nothing.
func (a *Answer) Release() {
	switch {
	case a.Response != nil:
		a.Response.Body.Close()
	case a.Object != nil && a.Led && !a.Validated:
		a.Object.Own.Body.Release()
	}
	a.Response, a.Object = nil, nil
}

// Fill makes the fetch, or waits for the one under way and shares what it comes to.
func (s *Store) Fill(f *Fill) Answer {
	if f.Alone {
		a := s.attempt(f)
		a.Led = true
		s.stats.Led.Add(1)
		return a
	}
	led := false
	shared, _, _ := s.flights.Do(s.claimOf(f), func() (any, error) {
		// Another fill may have ended between the look-up and the claim.
		if o, found, _ := s.look(f.Query, f.Begin); o != f.Stale && s.suits(f, o, found) {
			return Answer{Object: o, Status: o.Meta.Status, Admission: Admission{Store: true, Reason: Stored, Meta: o.Meta}}, nil
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
	// RFC 9111, section 4: collapsed requests share what is stored or storable. A 304 may have ended that.
	if sharedError(a.Admission) || a.Admission.Store && s.suits(f, o, Found{Meta: o.Meta}) {
		return a
	}
	return Answer{Excluded: true}
}

// suits reports whether o can be used by the fill's request as it is.
func (s *Store) suits(f *Fill, o *Object, found Found) bool {
	return o != nil && Decide(f.Query, f.Policy, found, s.clock.Now().Mono).Outcome == Hit
}

// Outline returns what GET would be answered from where the origin gave r to HEAD: an object that has no body but its length, or
// nil where that would be r itself. Nobody else gets to see it.
func (s *Store) Outline(q *Query, p *Policy, r *Response) (*Object, Admission) {
	get := *q
	get.Method = http.MethodGet
	a := Admit(&get, p, r)
	if !a.Store && !sharedError(a) {
		return nil, a
	}
	o := s.newObject(&get, a.Meta, r.Length)
	o.fill = 0
	return o, a
}

// sharedError reports whether an unstored answer is for all who waited for it: a 5xx has no better answer behind it. One that
// is private, sets a cookie or forbids storing is for its request alone (RFC 9111, sections 5.2.2.5 and 5.2.2.7).
func sharedError(a Admission) bool { return a.Reason == NotStoredError }

// Refresh makes the fetch with nobody waiting, unless one for the same claim is being made that way already, or too many are:
// then the next request that finds the object stale asks again.
func (s *Store) Refresh(f *Fill) {
	claim := s.claimOf(f)
	if s.stats.Refreshing.Load() >= maxRefreshes {
		return
	}
	if _, running := s.refreshing.LoadOrStore(claim, true); running {
		return
	}
	s.stats.Refreshing.Add(1)
	s.fills.Go(func() {
		defer s.stats.Refreshing.Add(-1)
		defer s.refreshing.Delete(claim)
		s.stats.Refreshed.Add(1)
		a := s.Fill(f)
		a.Release()
	})
}

// claimOf names what the fill fetches: the variant where the key's Vary is known, else the key.
func (s *Store) claimOf(f *Fill) string { return f.Query.Key + s.variant(f.Query) }

// variantOf is the same for the memos.
func (s *Store) variantOf(f *Fill) uint64 { return variantHash(f.Query.Hash, s.variant(f.Query)) }

// variant names the variant that q asks for, "" where the key's Vary is not known.
func (s *Store) variant(q *Query) string {
	if set := s.table.find(q.Hash, q.Key); set != nil {
		return VariantKey(q, set.vary)
	}
	return ""
}

// attempt asks the origin, once there is room for what it may answer. That also bounds the number of fetches: those that
// nobody waits for any more, too.
func (s *Store) attempt(f *Fill) Answer {
	if !s.enter() {
		return Answer{Err: ErrBusy}
	}
	a, kept := s.exchange(f)
	if !kept {
		s.entries.Release(s.entry())
	}
	return a
}

// entry is the room that every fetch takes, from an account of its own: what has begun to fill may be at the pace of a slow
// client, and must not keep others from asking.
func (s *Store) entry() int64 { return min(firstChunk, s.max) }

// enter waits for that room.
func (s *Store) enter() bool {
	if s.entries.TryAcquire(s.entry()) {
		return true
	}
	ctx, cancel := context.WithTimeout(s.ctx, budgetWait)
	defer cancel()
	return s.entries.Acquire(ctx, s.entry()) == nil
}

// exchange judges what the origin answers. kept: a body is filling, and has taken over the room.
func (s *Store) exchange(f *Fill) (a Answer, kept bool) {
	for validate := f.Stale; ; {
		epoch := s.purges.Applied() // before the origin is asked: what is purged from here on purges this too
		if !s.mayValidate(validate, epoch) {
			validate = nil
		}
		r, resp, err := s.ask(f, validate)
		if err != nil {
			return s.failed(f, Answer{Err: err}), false
		}
		if s.lateEpoch {
			epoch = s.purges.Applied()
		}
		switch {
		case resp.StatusCode == http.StatusNotModified && validate != nil:
			if !Validates(validate.Meta, r) {
				resp.Body.Close()
				validate = nil // it validated something else: ask for the whole
				continue
			}
			resp.Body.Close()
			return s.validated(f, validate, r, epoch), false
		case resp.StatusCode == http.StatusNotModified, resp.StatusCode == http.StatusPartialContent:
			resp.Body.Close()
			err := fmt.Errorf("%w: %d to an unconditional request for the whole", ErrProtocol, r.Status)
			return s.failed(f, Answer{Status: r.Status, Err: err}), false
		}
		return s.received(f, r, resp, epoch)
	}
}

// mayValidate reports whether the origin may be asked about o. What was purged since o was looked up must not come back by
// a 304, which would carry the new epoch; and without a validator there is nothing to ask.
func (s *Store) mayValidate(o *Object, epoch uint64) bool {
	return o != nil && o.Meta.validates() && o.Verdict(s.purges, epoch) != Hard
}

func (s *Store) ask(f *Fill, validate *Object) (*Response, *http.Response, error) {
	var meta *Meta
	if validate != nil {
		meta = validate.Meta
	}
	requested := s.clock.Now()
	resp, err := f.Fetch(s.ctx, meta)
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
	s.trouble.drop(s.variantOf(f))
	a := Freshen(f.Query, f.Policy, stale.Meta, r)
	a.Meta.Epoch = epoch
	o := stale.freshened(a.Meta, VariantKey(f.Query, a.Meta.Vary))
	switch {
	case a.Store && stale.Own.Body.Complete(): // else it is for the fill that makes the body to keep it, once it is whole
		s.freshen(o, stale)
	case a.HitForMiss: // it has become private, or refuses storing otherwise
		s.refuse(f, epoch)
	}
	return Answer{Object: o, Admission: a, Validated: true, Status: r.Status}
}

// received judges a whole answer, and begins to keep it if it may be kept.
func (s *Store) received(f *Fill, r *Response, resp *http.Response, epoch uint64) (a Answer, kept bool) {
	a = Answer{Status: r.Status, Admission: Admit(f.Query, f.Policy, r)}
	a.Admission.Meta.Epoch = epoch
	if IsErrorStatus(r.Status) {
		s.failed(f, a)
		if a.Admission.Store && s.hasStandIn(f) { // which is to be there for the next request, too
			a.Admission.Store, a.Admission.Reason = false, NotStoredError
		}
	} else {
		s.trouble.drop(s.variantOf(f))
	}
	if a.Admission.HitForMiss {
		s.refuse(f, epoch)
	}
	shared := sharedError(a.Admission) && !f.Alone
	if !a.Admission.Store && !shared {
		a.Response = resp
		return a, false
	}
	most := f.Policy.limit(s.MaxObject())
	a.Object = s.newObject(f.Query, a.Admission.Meta, r.Length)
	p := &pump{
		store: s, fill: f, from: resp.Body, object: a.Object, body: a.Object.Own.Body, keep: a.Admission.Store,
		limit: min(most, s.max), most: most, entries: s.entries, entry: s.entry(), budget: s.budget,
	}
	if shared {
		p.limit = min(errorBody, s.max)
	}
	if p.arrived() { // with its head, as most do that are small: there is nothing to wait for
		p.run()
	} else {
		s.pump(p)
	}
	return a, true
}

// hasStandIn reports whether what the fill was to replace may be used in place of an error (RFC 5861, section 4).
func (s *Store) hasStandIn(f *Fill) bool {
	if f.Stale == nil {
		return false
	}
	_, allowed := StaleAllowed(f.Stale.Meta, f.Stale.Verdict(s.purges, f.Begin), ErrorStatus, s.clock.Now().Mono)
	return allowed
}

// pump has p move its body while requests already follow it.
func (s *Store) pump(p *pump) {
	settled := make(chan struct{})
	p.object.settled = settled
	if p.keep {
		s.offer(p.object)
	}
	s.stats.Filling.Add(1)
	s.fills.Go(func() {
		defer s.stats.Filling.Add(-1)
		defer close(settled)
		p.run()
	})
}

// newObject returns an object whose body, of that length, has yet to come: see newBody.
func (s *Store) newObject(q *Query, m *Meta, length int64) *Object {
	var room [512]byte
	text := string(q.appendPurgeURL(append(room[:0], q.Key...))) // one piece, for as long as the object
	key, url := text[:len(q.Key)], text[len(q.Key):]
	w := &whole{meta: *m, object: Object{
		Key: key, Hash: q.Hash, Variant: VariantKey(q, m.Vary), Site: q.Site, Host: url[:len(q.Host)], URL: url,
	}}
	w.body.begin(length)
	o := &w.object
	o.Meta, o.Own, o.room = &w.meta, ownOf(&w.meta, &w.body), &w.set
	o.checked.Store(m.Epoch)
	if s.disk != nil {
		o.fill = disk.NewFill()
	}
	return o
}

// remove lets go of an object that was stored.
func (s *Store) remove(o *Object) {
	s.disk.remove(o)
	s.discard(o)
}

// refuse notes that the newest answer for the key refuses storing, so that requests for it need not wait for one another.
// What it was to replace goes: the origin has something newer to say, and neither a window of RFC 5861 nor an unreachable
// origin may bring the old back.
func (s *Store) refuse(f *Fill, epoch uint64) {
	if f.Stale != nil {
		s.remove(f.Stale)
	}
	now := s.clock.Now().Mono
	s.markers.put(f.Query.Hash, memo{until: now.Add(markerTTL), epoch: epoch}, now)
}

// failed notes that a fetch came to nothing, so that what is stale is served at once for a while.
func (s *Store) failed(f *Fill, a Answer) Answer {
	s.stats.Failed.Add(1)
	key, now := s.variantOf(f), s.clock.Now().Mono
	span := min(max(2*s.trouble.last(key).span, troubleFirst), troubleLast)
	s.trouble.put(key, memo{until: now.Add(span), span: span, kind: f.trouble(a.Err)}, now)
	return a
}
