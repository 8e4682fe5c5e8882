package cache

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"selvage/encode"
)

// Representation is one coding of an Object's content: the origin's own, or one that we have made of it. Immutable, but for
// tried.
type Representation struct {
	Coding string // as in Content-Encoding; "" is identity
	ETag   string
	Head   Head  // the Object's, as it describes this coding
	Body   *Body // nil: the coding does not help, and is not made again
	// Final: its bytes are what they will be for as long as the Object is there. One that was coded while it streamed gives way
	// to a smaller one, and has a weak tag and no ranges.
	Final bool
	Of    encode.Hash // of a delta: the dictionary it is to

	sum   uint64       // of the bytes of one that is Final and ours; part of its tag
	tried atomic.Int64 // Instant of the last attempt to make a Final one
}

// Codings says which codings a route makes: its `compress:` section, compiled. Immutable.
type Codings struct {
	*encode.Config
	order []encode.Coding
}

// CompileCodings returns nil where c makes no codings.
func CompileCodings(c *encode.Config) *Codings {
	if c == nil || !c.Enabled {
		return nil
	}
	return &Codings{Config: c, order: c.Codings()}
}

// Choice is the representation of an Object that answers a Query.
type Choice struct {
	*Representation
	Varies  bool // another client may get another, because of what we make
	AddVary bool // and neither the Head nor the origin says so: Vary: Accept-Encoding is missing
	Pending bool // it has no Body yet: see Store.Choose and Store.Stream

	use  *dictionaryUse // nil: it is no dictionary
	held bool           // a place among the readers of Body is kept
}

// Release gives up the place that Stream has kept, and what was opened on the disk for a reader who did not come.
func (c *Choice) Release() {
	switch {
	case c.Body == nil:
	case c.held:
		c.held = false
		c.Body.Release()
	case c.Body.below != nil:
		c.Body.below.drop()
	}
}

// Choose returns the representation of o for q: what the client likes best of what there is, or could be made (RFC 9110,
// section 12.5.3).
//
// An origin is asked for plain content, and all codings are made here: one fetch then serves every client, none of them
// splits the cache, and what is purged or validated is one object. What an origin has coded all the same is kept and sent as
// it is, and decoded for those only who cannot take it.
func (o *Object) Choose(q *Query, p *Policy) Choice {
	want, varies := p.Codings.want(q, o)
	if own, _ := encode.Named(o.Own.Coding); !varies || want == own {
		return o.plain(varies)
	}
	switch made := o.made(want); {
	case made == nil:
		return Choice{Representation: o.unmade(want), Varies: true, Pending: true}
	case made.Body == nil:
		return o.plain(varies)
	default:
		return Choice{Representation: made, Varies: true}
	}
}

// plain chooses what the origin sent.
func (o *Object) plain(varies bool) Choice {
	return Choice{Representation: &o.Own, Varies: varies, AddVary: varies && !o.variesByCoding()}
}

// want returns the coding in which q is to be answered, and whether that depends on the request at all.
func (c *Codings) want(q *Query, o *Object) (coding encode.Coding, varies bool) {
	m := o.Meta
	if c == nil || m.NoTransform { // RFC 9110, section 7.7
		return 0, false
	}
	length, known := o.Own.Body.Length()
	if !known {
		length = -1
	}
	if length == 0 { // whatever its coding is said to be
		return 0, false
	}
	own, known := encode.Named(m.Coding)
	if m.Coding == "" {
		if length > c.MaxSize || !c.Wants(m.Head.Get("Content-Type"), length) {
			return 0, false
		}
		if q.Control.NoTransform { // RFC 9111, section 5.2.1.6
			return encode.Identity, true
		}
		return q.Prefer(c.order), true
	}
	switch {
	case !known || bitOf(own) == 0: // nor can anybody here decode it
		return 0, false
	case q.Control.NoTransform || q.Accepts(own):
		return own, true
	}
	return encode.Identity, true
}

// made returns what we have made of o in a coding, or nil.
func (o *Object) made(coding encode.Coding) *Representation {
	name := coding.String()
	for _, r := range o.Derived {
		if r.Coding == name {
			return r
		}
	}
	return nil
}

// unmade describes o in a coding in which it has yet to be made, and goes out while it is.
func (o *Object) unmade(coding encode.Coding) *Representation {
	return o.Meta.represent(&Representation{Coding: coding.String()})
}

// variesByCoding reports whether the origin has said already that its answer depends on Accept-Encoding.
func (o *Object) variesByCoding() bool { return slices.Contains(o.Meta.Vary, "Accept-Encoding") }

// represent returns r, one that we have made, as content of the response m.
func (m *Meta) represent(r *Representation) *Representation {
	n := &Representation{Coding: r.Coding, Body: r.Body, Final: r.Final, Of: r.Of, sum: r.sum}
	n.tried.Store(r.tried.Load())
	if n.ETag = weakTag(m.ETag); n.Final {
		n.ETag = codedTag(m.ETag, tagName(n.Coding), n.sum)
	}
	n.Head = m.codedHead(n)
	return n
}

// tagName names a coding in a tag.
func tagName(coding string) string {
	if coding == "" {
		return "identity"
	}
	return coding
}

// digests are about the bytes that the origin sent (RFC 9530, sections 2 and 3; RFC 9110, section 8.8.1). The coding is part of
// a representation, so Repr-Digest changes with it too.
var digests = []string{"Content-Digest", "Repr-Digest", "Digest", "Content-Md5"}

// codedHead returns m's head as it describes r.
func (m *Meta) codedHead(r *Representation) Head {
	h := m.Head.Header()
	describe(h, r)
	AddVary(h)
	return RenderHead(h, nil)
}

// describe makes the fields of plain content those of r.
func describe(h http.Header, r *Representation) {
	for _, name := range digests {
		delete(h, name)
	}
	delete(h, "Content-Encoding")
	if r.Coding != "" {
		h["Content-Encoding"] = []string{r.Coding}
	}
	if r.ETag != "" {
		h["Etag"] = []string{r.ETag}
	}
	if !r.Final {
		h["Accept-Ranges"] = []string{"none"}
	}
}

// AddVary adds Accept-Encoding to Vary, unless it is there.
func AddVary(h http.Header) {
	if names, star := ParseVary(HeaderFields(h)); !star && !slices.Contains(names, "Accept-Encoding") {
		h["Vary"] = append(slices.Clip(h["Vary"]), "Accept-Encoding")
	}
}

// Once is the choice of a response that is not stored.
func (m *Meta) Once() Choice { return Choice{Representation: new(ownOf(m, nil))} }

// ForOnce returns the coding in which the response to q goes on that is not stored, and whether that depends on q's
// Accept-Encoding: h are the fields to be sent. What carries a secret is left alone, unless the site says otherwise: beside text
// of an attacker's choice its length would betray it (BREACH).
func (c *Codings) ForOnce(q *Query, status int, h http.Header, length int64) (coding encode.Coding, varies bool) {
	secret := q.Present&(HasAuthorization|HasCookie) != 0
	switch {
	case c == nil, status == http.StatusPartialContent, contentCoding(HeaderFields(h)) != "", noTransform(h),
		length > c.MaxSize, !c.Wants(h.Get("Content-Type"), length), !c.Streams(len(h["Set-Cookie"]) > 0, secret):
		return encode.Identity, false
	case q.Control.NoTransform:
		return encode.Identity, true
	}
	return q.Prefer(c.order), true
}

// DescribeOnce makes the fields of a response those of the coding in which it is sent while it comes.
func DescribeOnce(h http.Header, coding encode.Coding) {
	delete(h, "Content-Length")
	describe(h, &Representation{Coding: coding.String(), ETag: weakTag(h.Get("Etag"))})
}

// with returns o with r, in place of what there was of its coding. Of deltas the oldest leaves.
func (o *Object) with(r *Representation) *Object {
	n := o.copy(o.Meta, o.Variant)
	n.Derived = slices.DeleteFunc(slices.Clone(o.Derived), func(old *Representation) bool {
		return old.Coding == r.Coding && old.Of == r.Of
	})
	if deltas := slices.Collect(n.deltas()); r.isDelta() && len(deltas) >= maxDeltas {
		n.Derived = slices.DeleteFunc(n.Derived, func(old *Representation) bool { return old == deltas[0] })
	}
	n.Derived = append(n.Derived, r)
	n.checked.Store(o.checked.Load())
	n.touched.Store(o.touched.Load())
	return n
}

// noTransform reports whether a response forbids intermediaries to change its content (RFC 9111, section 5.2.2.6).
func noTransform(h http.Header) bool {
	return slices.ContainsFunc(h["Cache-Control"], func(line string) bool {
		for d := range splitDirectives(line) {
			if name, _, _ := strings.Cut(d, "="); sameToken(trimOWS(name), "no-transform") {
				return true
			}
		}
		return false
	})
}
