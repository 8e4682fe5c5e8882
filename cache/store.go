package cache

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"selvage/cache/internal/ram"
)

// StoreConfig sizes a Store.
type StoreConfig struct {
	MaxBytes int64 // of the memory tier
}

// Store keeps Objects and runs the fills that make them.
//
// The table is the truth of what is here; the memory tier only decides who stays. An Object is in the table from the
// moment its head is admitted, so that requests find it while it still fills.
type Store struct {
	clock  Clock
	purges Purges
	seed   Seed
	max    int64 // largest body, unless a policy says less

	table *table
	ram   *ram.Tier[*Object]

	flights    singleflight.Group  // by claim: attempts whose head is not here yet
	refreshing sync.Map            // claims being fetched with nobody waiting
	budget     *semaphore.Weighted // bytes of bodies that are filling
	markers    *memos              // hit-for-miss, by key
	trouble    *memos              // failed fetches, by claim

	ctx    context.Context // of all fills
	cancel context.CancelFunc
	fills  sync.WaitGroup

	stats Stats
}

// NewStore returns an empty store.
func NewStore(c StoreConfig, clock Clock, purges Purges) (*Store, error) {
	s := &Store{
		clock: clock, purges: purges, max: c.MaxBytes / 8,
		table:   newTable(int(min(c.MaxBytes/(8<<10), 1<<22))),
		budget:  semaphore.NewWeighted(c.MaxBytes / 8),
		markers: newMemos(1 << 16),
		trouble: newMemos(1 << 16),
	}
	var seed [8]byte
	rand.Read(seed[:])
	s.seed = Seed(binary.LittleEndian.Uint64(seed[:]))
	s.ctx, s.cancel = context.WithCancel(context.Background())
	var err error
	s.ram, err = ram.New(c.MaxBytes, s.forget)
	return s, err
}

// Close ends all fills, waits for them and lets go of everything.
func (s *Store) Close() {
	s.cancel()
	s.fills.Wait()
	s.ram.Close()
}

// Seed is the secret that keys are hashed with.
func (s *Store) Seed() Seed { return s.seed }

// MaxObject is the largest body that is kept, where a policy does not say less.
func (s *Store) MaxObject() int64 { return s.max }

func (p *Policy) limit(most int64) int64 {
	if p.MaxObject > 0 {
		return min(p.MaxObject, most)
	}
	return most
}

// Lookup finds what is here for q, judged by the purges up to begin (Applied as it was when the request began). The Object
// may still be filling.
func (s *Store) Lookup(q *Query, begin uint64, now Instant) (*Object, Found) {
	o, f := s.look(q, begin)
	s.ram.Touch(policyKey(q.Hash, variantOf(o)))
	if f.Meta == nil || f.Verdict != Valid || f.Meta.TTL(now) <= 0 {
		f.HitForMiss = s.marked(q, begin, now)
	}
	if f.Meta != nil && f.Meta.TTL(now) <= 0 {
		f.Trouble, f.Backoff, f.RetryDue = s.trouble.turn(claim(q, o.Meta.Vary), now)
	}
	return o, f
}

func (s *Store) look(q *Query, begin uint64) (*Object, Found) {
	set := s.table.find(q.Hash, q.Key)
	if set == nil {
		return nil, Found{}
	}
	key := ""
	if len(set.vary) > 0 {
		key = VariantKey(q, set.vary)
	}
	v := set.get(key)
	if v.filling != nil && s.usable(v.filling, begin) {
		return v.filling, Found{Meta: v.filling.Meta}
	}
	if v.stored == nil {
		return nil, Found{Vary: v.filling == nil}
	}
	return v.stored, Found{Meta: v.stored.Meta, Verdict: v.stored.Verdict(s.purges, begin)}
}

// usable reports whether a filling object may serve a request: no purge stands between, and it has not failed.
func (s *Store) usable(o *Object, begin uint64) bool { return o.Verdict(s.purges, begin) == Valid }

func (s *Store) marked(q *Query, begin uint64, now Instant) bool {
	m, ok := s.markers.get(q.Key, now)
	if !ok {
		return false
	}
	target := q.Target(nil)
	return s.purges.Verdict(&target, m.epoch, begin) == Valid
}

// offer puts o where requests find it while it fills.
func (s *Store) offer(o *Object) {
	s.place(o, func(v variant) variant { v.filling = o; return v })
}

// keep makes a complete o the stored one of its variant, and asks the tier for room.
func (s *Store) keep(o *Object) {
	o.weigh()
	var old *Object
	s.place(o, func(v variant) variant {
		old, v.stored = v.stored, o
		if v.filling == o {
			v.filling = nil
		}
		return v
	})
	s.markers.drop(o.Key)
	s.ram.Keep(policyKey(o.Hash, o.Variant), o, o.cost, old != nil)
}

// place edits the place of o's variant and lets go of whatever had to leave.
func (s *Store) place(o *Object, edit func(variant) variant) {
	var gone []*Object
	s.table.change(o.Hash, o.Key, func(set *variants) *variants {
		var v variant
		if set != nil && slices.Equal(set.vary, o.Meta.Vary) {
			v = set.get(o.Variant)
		}
		v.key = o.Variant
		var out *variants
		out, gone = set.with(o.Meta.Vary, edit(v))
		return out
	})
	for _, g := range gone {
		s.ram.Drop(policyKey(g.Hash, g.Variant))
	}
}

// forget takes o out of the table. The tier calls it for what has to go; it never calls the tier.
func (s *Store) forget(o *Object) {
	s.table.change(o.Hash, o.Key, func(set *variants) *variants { return set.without(o) })
}

// policyKey names a variant to the memory tier. It is the same for every Object the variant has over time, so that the
// tier's memory of how often it was asked for outlives them.
func policyKey(hash uint64, variant string) uint64 {
	if variant == "" {
		return hash
	}
	return hashString(hash, variant)
}

func hashString(seed uint64, text string) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	d.WriteString(text)
	return d.Sum64()
}

func variantOf(o *Object) string {
	if o == nil {
		return ""
	}
	return o.Variant
}

// memos remembers a bounded number of facts for a while, by key.
type memos struct {
	max int
	mu  sync.Mutex
	m   map[string]memo
}

type memo struct {
	until Instant
	span  time.Duration // how long it was to hold
	epoch uint64
	kind  Trouble // of a failed fetch
}

func newMemos(max int) *memos { return &memos{max: max, m: map[string]memo{}} }

func (f *memos) get(key string, now Instant) (memo, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.m[key]
	return m, ok && now < m.until
}

// turn reports whether key is in trouble, and in which, and gives one caller the turn to try again each time its memo runs out. One that
// nobody took up for a while is as good as forgotten.
func (f *memos) turn(key string, now Instant) (kind Trouble, troubled, due bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.m[key]
	switch {
	case !ok || now >= m.until.Add(troubleLast):
		return 0, false, false
	case now < m.until:
		return m.kind, true, false
	}
	m.until = now.Add(m.span)
	f.m[key] = m
	return m.kind, true, true
}

// last returns what was remembered of key, also when it no longer holds.
func (f *memos) last(key string) memo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.m[key]
}

func (f *memos) put(key string, m memo, now Instant) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.m[key]; !ok && len(f.m) >= f.max {
		for k, old := range f.m {
			if delete(f.m, k); now >= old.until || len(f.m) < f.max-f.max/64 {
				break
			}
		}
	}
	f.m[key] = m
}

func (f *memos) drop(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.m, key)
}
