package cache

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
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
	Disk     DiskConfig
	Encoding Encoding     // without one no codings are kept
	Logger   *slog.Logger // nil discards
	// Identity is the purge journal's, and HighestEpoch the last number it can have given out before this start. What was
	// kept on the disk under another identity, or a higher epoch, is dropped: nobody knows what of it was purged. The
	// zero Identity is any.
	Identity     [16]byte
	HighestEpoch uint64
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

	table      *table
	ram        *ram.Tier[*Object]
	disk       *below // nil without
	diskWanted bool   // configured, whether it could be opened or not

	flights    singleflight.Group  // by claim: attempts whose head is not here yet
	refreshing sync.Map            // claims being fetched with nobody waiting
	entries    *semaphore.Weighted // bytes of the first chunks of bodies that are filling, taken before there is any
	budget     *semaphore.Weighted // and of their other chunks
	streams    *semaphore.Weighted // and of those that will not be kept, as far as there is room
	markers    *memos              // hit-for-miss, by the key's hash
	trouble    *memos              // failed fetches, by variantHash

	encoding     Encoding
	coding       streams
	coders       *semaphore.Weighted // bytes that encoders and decoders hold while clients wait
	coded        *semaphore.Weighted // and of the bodies that they make
	dictionaries dictionaries

	ctx    context.Context // of all fills
	cancel context.CancelFunc
	fills  sync.WaitGroup

	stats Stats

	lateEpoch bool // for tests: epochs are read when the answer is here, as if fills took no time
}

// NewStore returns an empty store.
func NewStore(c StoreConfig, clock Clock, purges Purges) (*Store, error) {
	s := &Store{
		clock: clock, purges: purges, max: c.MaxBytes / 8,
		table:   newTable(int(min(c.MaxBytes/(8<<10), 1<<22))),
		entries: semaphore.NewWeighted(c.MaxBytes / 8),
		budget:  semaphore.NewWeighted(c.MaxBytes / 8),
		streams: semaphore.NewWeighted(c.MaxBytes / 8),
		markers: newMemos(1 << 16),
		trouble: newMemos(1 << 16),

		encoding:     c.Encoding,
		coding:       streams{running: make(map[streamKey]*Body)},
		coders:       semaphore.NewWeighted(max(leastCoders, c.MaxBytes/4)),
		coded:        semaphore.NewWeighted(c.MaxBytes / 8),
		dictionaries: dictionaries{families: make(map[family][]*dictionary)},

		diskWanted: c.Disk.Path != "",
	}
	log := c.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var seed [8]byte
	rand.Read(seed[:])
	s.seed = Seed(binary.LittleEndian.Uint64(seed[:]))
	s.ctx, s.cancel = context.WithCancel(context.Background())
	var err error
	if s.disk, err = openBelow(c, clock, log, s.holds); err != nil {
		return nil, err
	}
	if s.disk != nil {
		s.seed = Seed(s.disk.tier.Seed())
	}
	s.ram = ram.New(c.MaxBytes, (*Object).placeInMemory, s.forget)
	return s, nil
}

// Run writes what is kept to the disk, until ctx ends and the rest is written. Without a disk it only waits. A Store with a
// disk must be run; what Close ends has to end first.
func (s *Store) Run(ctx context.Context) error { return s.disk.run(ctx) }

// Close ends all fills and the work on codings, and waits for them.
func (s *Store) Close() {
	s.cancel()
	s.fills.Wait()
	if w := s.encoding.Workshop; w != nil {
		w.Close()
	}
}

// Seed is the secret that keys are hashed with.
func (s *Store) Seed() Seed { return s.seed }

// MaxObject is the largest body that is kept, where a policy does not say less.
func (s *Store) MaxObject() int64 {
	if s.disk != nil {
		return max(s.max, s.disk.tier.MaxBody())
	}
	return s.max
}

// DiskState reports whether a disk tier is configured, and whether it takes what it is given now. A disk that fails is left alone
// for a while; one that failed when the Store was opened, until the next start.
func (s *Store) DiskState() (configured, usable bool) { return s.diskWanted, s.disk.usable() }

// inMemory reports whether a body of that length stays in memory once it is whole. With a disk below, large ones do not:
// memory is for what is asked for often.
func (s *Store) inMemory(length int64) bool { return s.disk == nil || length <= s.disk.small }

func (p *Policy) limit(most int64) int64 {
	if p.MaxObject > 0 {
		return min(p.MaxObject, most)
	}
	return most
}

// Lookup finds what is here for q, judged by the purges up to begin (Applied as it was when the request began). The Object
// may still be filling.
func (s *Store) Lookup(q *Query, begin uint64, now Instant) (*Object, Found) {
	o, f, variant := s.look(q, begin)
	if o == nil {
		o, f, variant = s.lookBelow(q, begin, f, variant)
	}
	o.touch(now)
	if f.Meta != nil && f.Verdict == Valid && f.Meta.TTL(now) > 0 {
		return o, f
	}
	f.HitForMiss = s.marked(q, begin, now)
	if f.Meta != nil {
		f.Trouble, f.Backoff, f.RetryDue = s.trouble.turn(variantHash(q.Hash, variant), now)
	}
	return o, f
}

// Peek returns the object stored for q that no purge up to begin concerns, whole, or nil. It changes nothing that Lookup
// tells, so that one who cannot use what it gives may still ask Lookup. With the object in memory it allocates nothing.
func (s *Store) Peek(q *Query, begin uint64, now Instant) *Object {
	o, f, variant := s.look(q, begin)
	if o == nil {
		o, f, _ = s.lookBelow(q, begin, f, variant)
	}
	if o == nil || f.Verdict != Valid || !o.Own.Body.Complete() {
		o.Done()
		return nil
	}
	o.touch(now)
	return o
}

// touchEvery is how often a request for the same object counts: what many ask for in one moment is not what is asked for often.
const touchEvery = 100 * time.Millisecond

// touch notes that o was asked for, if there is one.
func (o *Object) touch(now Instant) {
	if o == nil {
		return
	}
	if last := Instant(o.touched.Load()); last == 0 || now.Sub(last) >= touchEvery {
		o.touched.Store(int64(now))
		o.place.Touch()
	}
}

// look also returns the name of q's variant, as far as the key's Vary is known.
func (s *Store) look(q *Query, begin uint64) (o *Object, f Found, variant string) {
	set := s.table.find(q.Hash, q.Key)
	if set == nil {
		return nil, Found{}, ""
	}
	v, variant := set.choose(q)
	if v.filling != nil && s.usable(v.filling, begin) {
		return v.filling, Found{Meta: v.filling.Meta}, variant
	}
	if v.stored == nil {
		return nil, Found{Vary: v.filling == nil}, variant
	}
	return v.stored, Found{Meta: v.stored.Meta, Verdict: v.stored.Verdict(s.purges, begin)}, variant
}

// lookBelow is look on the disk, for what memory does not have. What is purged for good is forgotten there at once.
func (s *Store) lookBelow(q *Query, begin uint64, f Found, variant string) (*Object, Found, string) {
	o := s.disk.find(q)
	if o == nil {
		return nil, f, variant
	}
	v := o.Verdict(s.purges, begin)
	if v == Hard {
		o.Done()
		s.disk.remove(o)
		return nil, f, variant
	}
	if up := s.disk.promoted(o); up != nil {
		o = up
		s.raise(o)
	}
	return o, Found{Meta: o.Meta, Verdict: v}, o.Variant
}

// raise puts an object from the disk into memory, unless something has come there meanwhile.
func (s *Store) raise(o *Object) {
	if s.place(o, func(set *variants, v *variant) bool {
		if v.stored != nil || v.filling != nil || set != nil && !slices.Equal(set.vary, o.Meta.Vary) {
			return false
		}
		v.stored = o
		return true
	}) {
		s.hold(o, nil)
	}
}

// usable reports whether a filling object may serve a request: no purge stands between, and it has not failed.
func (s *Store) usable(o *Object, begin uint64) bool { return o.Verdict(s.purges, begin) == Valid }

func (s *Store) marked(q *Query, begin uint64, now Instant) bool {
	m, ok := s.markers.get(q.Hash, now)
	if !ok {
		return false
	}
	target := q.Target(nil)
	return s.purges.Verdict(&target, m.epoch, begin) == Valid
}

// offer puts o where requests find it while it fills.
func (s *Store) offer(o *Object) {
	s.place(o, func(_ *variants, v *variant) bool {
		v.filling = o
		return true
	})
}

// keep makes o, which is whole now, the stored one of its variant: unless a newer response has taken its place while it
// filled, or governs the key with another Vary.
func (s *Store) keep(o *Object) {
	if o.Verdict(s.purges, s.purges.Applied()) == Hard { // nobody would ever get it
		s.forget(o)
		return
	}
	var replaced *Object
	if s.place(o, func(_ *variants, v *variant) bool {
		replaced = v.stored
		newest := v.filling == o || o.settled == nil // one that came whole was never offered
		v.stored, v.filling = o, nil
		return newest
	}) {
		s.markers.drop(o.Hash)
		s.hold(o, replaced)
		s.disk.put(o)
	}
}

// sink leaves o to the disk alone. What it replaces goes with it: the disk is asked only for what memory does not have.
func (s *Store) sink(o *Object) {
	var replaced *Object
	s.table.change(o.Hash, o.Key, func(set *variants) *variants {
		if v := set.get(o.Variant); v.filling == o && v.stored != nil {
			replaced = v.stored
			set = set.without(replaced)
		}
		return set.without(o)
	})
	if replaced != nil {
		s.ram.Drop(replaced)
	}
}

// freshen puts o, which a 304 has made of stale, in its place, unless a newer response has come meanwhile.
func (s *Store) freshen(o, stale *Object) {
	s.disk.freshen(o, stale)
	if o.Own.Body.below != nil {
		s.markers.drop(o.Hash)
		return // it was on the disk alone
	}
	var replaced *Object
	if s.place(o, func(set *variants, v *variant) bool {
		now := set.get(stale.Variant).stored
		if set != nil && !slices.Equal(set.vary, stale.Meta.Vary) || now != nil && now.Meta.Received > o.Meta.Received {
			return false
		}
		replaced = v.stored
		v.stored = o
		return true
	}) {
		s.markers.drop(o.Hash)
		s.hold(o, replaced)
	}
}

// hold asks the tier for room for an object that was placed in the table, instead of what it replaced there. Others may have
// replaced it by now: the tier knows what it need not take any more.
func (s *Store) hold(o, replaced *Object) {
	s.ram.Keep(o, variantHash(o.Hash, o.Variant), o.weight(), replaced)
}

// place edits the place of o's variant, unless edit says no, and lets go of whatever had to leave.
func (s *Store) place(o *Object, edit func(*variants, *variant) bool) (placed bool) {
	var gone []*Object
	s.table.change(o.Hash, o.Key, func(set *variants) *variants {
		var v variant
		if set != nil && slices.Equal(set.vary, o.Meta.Vary) {
			v = set.get(o.Variant)
		}
		v.key = o.Variant
		if placed = edit(set, &v); !placed {
			return set
		}
		set, gone = set.with(o.Meta.Vary, v)
		return set
	})
	for _, g := range gone {
		s.ram.Drop(g)
	}
	return placed
}

// holds reports whether memory has what a record on the disk is about: a variant, or a key of which the record names the Vary.
func (s *Store) holds(hash uint64) bool { return s.ram.Holds(hash) || s.table.holds(hash) }

// discard takes o out of memory.
func (s *Store) discard(o *Object) {
	s.forget(o)
	s.ram.Drop(o)
}

// forget takes o out of the table. The tier calls it for what has to go.
func (s *Store) forget(o *Object) {
	s.table.change(o.Hash, o.Key, func(set *variants) *variants { return set.without(o) })
}

// variantHash names a variant to the memory tier and the memos. It is the same for every Object the variant has over time,
// so that what they remember of it outlives them.
func variantHash(hash uint64, variant string) uint64 {
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

// memos remembers a bounded number of facts for a while, by hash: keys may be long, and clients choose them. Should two
// keys have one hash, one of them is fetched too often or too seldom; nobody gets what is the other's.
type memos struct {
	max int
	mu  sync.Mutex
	m   map[uint64]memo
}

type memo struct {
	until Instant
	span  time.Duration // how long it was to hold
	epoch uint64
	kind  Trouble // of a failed fetch
}

func newMemos(max int) *memos { return &memos{max: max, m: map[uint64]memo{}} }

func (f *memos) get(key uint64, now Instant) (memo, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.m[key]
	return m, ok && now < m.until
}

// turn reports whether key is in trouble, and in which, and gives one caller the turn to try again each time its memo runs
// out. One that nobody took up for a while is as good as forgotten.
func (f *memos) turn(key uint64, now Instant) (kind Trouble, troubled, due bool) {
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
func (f *memos) last(key uint64) memo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.m[key]
}

func (f *memos) put(key uint64, m memo, now Instant) {
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

func (f *memos) drop(key uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.m, key)
}
