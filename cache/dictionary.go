package cache

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"selvage/encode"
)

// The dictionaries of RFC 9842 are stored responses. A client keeps one whose Use-As-Dictionary it was sent, names it by the
// hash of its content when it asks for another version, and is sent what has changed: see delta.go.

// dictionaryUse says for which paths an object is a dictionary. It is made once for an object and a configuration.
type dictionaryUse struct {
	of      *Codings
	pattern encode.Pattern // "" is none
	field   string         // Use-As-Dictionary

	due     atomic.Int64                // Instant from which on the object may be learned; never while that is under way
	learned atomic.Pointer[encode.Hash] // of its content, once that was read
}

// never is later than any Instant.
const never = 1<<63 - 1

// dictionary returns the use of o as a dictionary, or nil where q is not to hear of one: there are none but over https (RFC
// 9842, section 8), nor for who had to say who he is, by Authorization or by a cookie that is part of the key.
func (p *Policy) dictionary(o *Object, q *Query) *dictionaryUse {
	c := p.Codings
	if c == nil || !c.Dictionary.Enabled || !q.Secure || q.Present.Has(HasAuthorization) || len(p.keyCookies) > 0 {
		return nil
	}
	if length, known := o.Own.Body.Length(); known && !c.learns(length) {
		return nil
	}
	u := o.use.Load()
	if u == nil || u.of != c {
		u = c.newUse(o.Meta, q.Path)
		o.use.Store(u)
	}
	if u.pattern == "" {
		return nil
	}
	return u
}

func (c *Codings) newUse(m *Meta, path string) *dictionaryUse {
	u := &dictionaryUse{of: c}
	if !c.makesDictionary(m) {
		return u
	}
	if p, ok := c.Dictionary.Pattern(path); ok {
		u.pattern, u.field = p, encode.UseAs(p)
	}
	return u
}

// makesDictionary reports whether a response is one for all: text that we may encode, and that is not told apart by who asks. An
// origin that has dictionaries of its own is left alone.
func (c *Codings) makesDictionary(m *Meta) bool {
	has := func(name string) bool {
		_, ok := m.Head.Value(name, 0)
		return ok
	}
	return m.Status == 200 && m.Coding == "" && !m.NoTransform && c.Wants(m.Head.Get("Content-Type"), -1) &&
		!has("Set-Cookie") && !has("Use-As-Dictionary") &&
		!slices.Contains(m.Vary, "Cookie") && !slices.Contains(m.Vary, "Authorization")
}

// learns reports whether a body of so many bytes is of use as a dictionary: a client would keep a larger one in vain.
func (c *Codings) learns(length int64) bool {
	return length <= c.MaxSize && encode.CanDelta(length, length)
}

// UseAs is what Use-As-Dictionary says of the choice; "" is nothing. Where it says something, Vary names Available-Dictionary.
func (c *Choice) UseAs() string {
	if c.use == nil {
		return ""
	}
	return c.use.field
}

// maxDictionaryKey bounds the keys of objects that are known as dictionaries: clients choose them.
const maxDictionaryKey = 1 << 10

// relearn is how long a dictionary that was forgotten, for want of room or since its like elsewhere is gone, stays so where clients
// are still told of it.
const relearn = time.Minute

// Learn makes o known as a dictionary, where c has said to a client that it is one. It costs next to nothing where there is
// nothing to do.
func (s *Store) Learn(o *Object, c Choice, now Instant) {
	u := c.use
	if u == nil || s.encoding.Workshop == nil || !o.Own.Body.Complete() {
		return
	}
	due := u.due.Load()
	if int64(now) < due || !u.due.CompareAndSwap(due, never) {
		return
	}
	if length, _ := o.Own.Body.Length(); !u.of.learns(length) || len(o.Key)+len(o.Variant) > maxDictionaryKey {
		return
	}
	settled, later := o.settled, s.later(o)
	if !s.encoding.Workshop.Do(lesson{weak.Make(o.Own.Body)}, func(ctx context.Context, _ *encode.Pace) {
		if awaitSettled(ctx, settled) {
			s.learn(later(), u)
		}
		u.due.Store(int64(s.clock.Now().Mono.Add(relearn)))
	}) {
		u.due.Store(int64(now.Add(retryDerive)))
	}
}

// lesson names the learning of a body.
type lesson struct{ own weak.Pointer[Body] }

// awaitSettled waits until an object is where it belongs; false: ctx has ended before.
func awaitSettled(ctx context.Context, settled <-chan struct{}) bool {
	if settled == nil {
		return true
	}
	select {
	case <-settled:
		return true
	case <-ctx.Done():
		return false
	}
}

// learn hashes the content of o, if that is still there, and was not hashed before.
func (s *Store) learn(o *Object, u *dictionaryUse) {
	if o == nil {
		return
	}
	if u.learned.Load() == nil {
		plain, err := o.Own.Body.whole(s.ctx.Done())
		if err != nil {
			return // of the disk, or the end
		}
		u.learned.Store(new(encode.HashOf(plain)))
	}
	s.dictionaries.add(o.family(u), &dictionary{
		hash: *u.learned.Load(), key: strings.Clone(o.Key), keyHash: o.Hash, variant: o.Variant,
		target: o.target(), epoch: o.Meta.Epoch,
	})
}

// dictionaryContent returns the content of a dictionary, if it is still stored.
func (s *Store) dictionaryContent(d *dictionary) (content []byte, ok bool) {
	o := s.table.find(d.keyHash, d.key).get(d.variant).stored
	if o == nil {
		o = s.disk.named(d.keyHash, d.key, d.variant)
	}
	if o == nil {
		return nil, false
	}
	content, err := o.Own.Body.whole(s.ctx.Done())
	return content, err == nil && encode.HashOf(content) == d.hash
}

// dictionary is an object that clients may have, by its content. It holds no body: that stays as long as it would anyway.
type dictionary struct {
	hash    encode.Hash
	key     string
	keyHash uint64
	variant string

	target Target // whoever purges that for good ends the dictionary
	epoch  uint64
}

func (d *dictionary) sameObject(other *dictionary) bool {
	return d.key == other.key && d.variant == other.variant
}

// family is those of a site that are dictionaries for each other: versions of one resource, for the same clients. Of what is kept
// apart by Vary, or by parts of the key, nobody is told by way of what is for somebody else.
type family struct {
	host    string
	apart   string // by what, the site among it
	pattern encode.Pattern
}

func (o *Object) family(u *dictionaryUse) family {
	return family{o.Host, keyedApart(o.Key) + o.Variant, u.pattern}
}

// Bounds of what is known. With keys of a hundred bytes it is 4 MiB at most.
const (
	maxFamilies = 4096
	maxVersions = 4
)

// dictionaries are those known.
type dictionaries struct {
	mu       sync.Mutex
	families map[family][]*dictionary // the newest last; guarded by mu
}

// add makes d the newest of its family, in place of what the same object was before. Where the same content is known already it
// stays by the name it has: whoever asks for it by another must not make that depend on a name that is soon gone.
func (all *dictionaries) add(f family, d *dictionary) {
	all.mu.Lock()
	defer all.mu.Unlock()
	known, there := all.families[f]
	if slices.ContainsFunc(known, func(old *dictionary) bool { return old.hash == d.hash && !old.sameObject(d) }) {
		return
	}
	if !there && len(all.families) >= maxFamilies {
		for other := range all.families { // any
			delete(all.families, other)
			break
		}
	}
	known = slices.DeleteFunc(known, d.sameObject)
	if len(known) >= maxVersions {
		known = slices.Delete(known, 0, len(known)-maxVersions+1)
	}
	all.families[f] = append(known, d)
}

// find returns the one with that content, or nil.
func (all *dictionaries) find(f family, h encode.Hash) *dictionary {
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, d := range all.families[f] {
		if d.hash == h {
			return d
		}
	}
	return nil
}

// drop forgets one.
func (all *dictionaries) drop(f family, d *dictionary) {
	all.mu.Lock()
	defer all.mu.Unlock()
	known := slices.DeleteFunc(all.families[f], func(old *dictionary) bool { return old == d })
	if len(known) == 0 {
		delete(all.families, f)
		return
	}
	all.families[f] = known
}
