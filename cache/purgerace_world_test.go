package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"selvage/cache"
	"selvage/purge"
)

// world is a node without its sockets, the pages behind it, and what the model knows of them.
type world struct {
	t         *testing.T
	dir       string
	seed      uint64
	epochless bool
	pages     []*racePage
	policy    *cache.Policy
	tally     raceTally

	journal *purge.Journal
	store   *cache.Store
	stop    context.CancelFunc
	ended   []chan error
}

// racePage is a page at the origin.
type racePage struct {
	site, host, path string
	tags             []string
	bytes            int
	version          atomic.Uint64

	// The model: no answer to a request that begins now may be of a lower version; after a soft purge, unless it is stale.
	atLeast, freshAtLeast atomic.Uint64
}

func (p *racePage) url() string { return p.host + p.path }

func newWorld(t *testing.T, seed uint64) *world {
	c := cache.DefaultConfig()
	w := &world{t: t, dir: t.TempDir(), seed: seed}
	for i := range 96 {
		host := fmt.Sprintf("%c.example.com", 'a'+i%4)
		w.pages = append(w.pages, &racePage{
			site: []string{"shop", "blog"}[i%2], host: host, path: fmt.Sprintf("/%c/%d?q=%d", 'x'+rune(i/4%3), i/12, i%5),
			tags: []string{fmt.Sprint("t", i%7), fmt.Sprint("u", i%11)}, bytes: 8 << (i % 14),
		})
	}
	w.policy = c.Compile()
	w.open()
	return w
}

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.journal, err = purge.Open(filepath.Join(w.dir, "purges"), purge.Options{}); err != nil {
		w.t.Fatal(err)
	}
	if w.store, err = cache.NewStore(cache.StoreConfig{
		MaxBytes: 2 << 20, Disk: cache.DiskConfig{Path: filepath.Join(w.dir, "cache"), Size: 64 << 20},
		Identity: w.journal.Identity(), HighestEpoch: w.journal.Reserved(),
	}, cache.SystemClock(), w.journal); err != nil {
		w.t.Fatal(err)
	}
	if w.epochless {
		w.store.ReadEpochsLate()
	}
	ctx, stop := context.WithCancel(context.Background())
	w.stop, w.ended = stop, nil
	for _, run := range []func(context.Context) error{
		w.journal.Run, w.store.Run,
		func(ctx context.Context) error { return w.store.Sweep(ctx, w.journal.Changed()) },
	} {
		ended := make(chan error, 1)
		w.ended = append(w.ended, ended)
		go func() { ended <- run(ctx) }()
	}
	w.store.Loaded()
}

func (w *world) close() {
	w.t.Helper()
	w.tally.refreshed.Add(w.store.Stats().Refreshed.Load())
	w.tally.followed.Add(w.store.Stats().Coalesced.Load())
	w.tally.fromDisk.Add(w.store.Disk().Stat().Reads)
	w.store.Close()
	w.stop()
	for _, ended := range w.ended {
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	}
	if err := w.journal.Close(); err != nil {
		w.t.Error(err)
	}
}

func (w *world) reopen() {
	w.close()
	w.open()
}

func (w *world) restart() {
	w.reopen()
	w.tally.restarts++
}

// fetch is the origin: what it says was true when it was asked, and is told a while later.
func (w *world) fetch(p *racePage) func(context.Context, *cache.Meta) (*http.Response, error) {
	return func(_ context.Context, validate *cache.Meta) (*http.Response, error) {
		version := p.version.Load()
		dawdle(60)
		switch rand.N(40) {
		case 0:
			return nil, io.ErrUnexpectedEOF
		case 1:
			return respond(503, "-", "-"), nil
		}
		tag := fmt.Sprintf("%q", fmt.Sprint(version))
		control := []string{"max-age=600", "max-age=600", "max-age=600", "max-age=0, stale-while-revalidate=600", "no-cache"}[rand.N(5)]
		fields := []string{"Cache-Control: " + control, "Etag: " + tag, "Vary: X-Kind", "Cache-Tag: " + strings.Join(p.tags, ",")}
		if validate != nil && validate.ETag == tag {
			return respond(304, "", fields...), nil
		}
		body := strings.Repeat(fmt.Sprintf("%08d", version), max(1, p.bytes/8))
		return respond(200, body, fields...), nil
	}
}

// dawdle lets others run for a while.
func dawdle(most int) {
	for range rand.N(most) {
		runtime.Gosched()
	}
}

// slowly reads in pieces.
type slowly struct{ io.Reader }

func (r slowly) Read(p []byte) (int, error) {
	dawdle(4)
	return r.Reader.Read(p[:min(len(p), 8<<10)])
}

func respond(status int, body string, fields ...string) *http.Response {
	h := http.Header{}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		h.Add(name, value)
	}
	return &http.Response{
		StatusCode: status, Header: h, ContentLength: int64(len(body)), Body: io.NopCloser(slowly{strings.NewReader(body)}),
	}
}

// raceClient asks for pages, as the edge does for its clients.
type raceClient struct {
	*world
	random *rand.Rand
}

func (w *world) newClient(i uint64) *raceClient {
	return &raceClient{w, rand.New(rand.NewPCG(w.seed, i))}
}

// seen is an answer: what version it is of, and whether it was stale.
type seen struct {
	version uint64
	stale   bool
}

// visit asks for a page and holds the answer against what was acknowledged before it began.
func (c *raceClient) visit() {
	p := c.pages[min(c.random.IntN(len(c.pages)), c.random.IntN(len(c.pages)))] // some more often
	atLeast, freshAtLeast := p.atLeast.Load(), p.freshAtLeast.Load()
	got, err := c.get(p)
	c.tally.requests.Add(1)
	switch {
	case err != nil:
		c.tally.failed.Add(1)
	case got.version < atLeast || got.version < freshAtLeast && !got.stale:
		if c.tally.violations.Add(1) == 1 {
			c.t.Logf("GET %s: version %d (stale: %t), want %d, or fresh %d", p.url(), got.version, got.stale, atLeast, freshAtLeast)
		}
	}
}

func (c *raceClient) query(p *racePage) *cache.Query {
	q := cache.NewQuery()
	path, query, _ := strings.Cut(p.path, "?")
	q.Method, q.Host, q.Path, q.RawQuery, q.HasQuery, q.Site = "GET", p.host, path, query, true, p.site
	q.Fields = cache.HeaderFields(http.Header{"X-Kind": {fmt.Sprint(c.random.IntN(2))}})
	q.MakeKey(c.policy, c.store.Seed())
	return &q
}

var errNoAnswer = errors.New("no answer")

// get walks the rooms: look up, decide, fill.
func (c *raceClient) get(p *racePage) (seen, error) {
	q, begin := c.query(p), c.journal.Applied()
	for range 3 {
		now := cache.SystemClock().Now().Mono
		o, found := c.store.Lookup(q, begin, now)
		defer o.Done()
		d := cache.Decide(q, c.policy, found, now)
		f := &cache.Fill{Query: q, Policy: c.policy, Begin: begin, Alone: d.Alone, Fetch: c.fetch(p)}
		if found.Verdict != cache.Hard && d.Outcome != cache.Miss {
			f.Stale = o
		}
		switch d.Outcome {
		case cache.Hit:
			c.tally.hits.Add(1)
			return read(o, false)
		case cache.Stale:
			if d.Background {
				c.store.Refresh(f)
			}
			c.tally.stale.Add(1)
			return read(o, true)
		}
		c.tally.misses.Add(1)
		a := c.store.Fill(f)
		if a.Excluded {
			continue
		}
		defer a.Release()
		return c.filled(a, f.Stale, found.Verdict)
	}
	return seen{}, errNoAnswer
}

// filled reads what a fill came to; the stale object stands in for an error where the rules allow.
func (c *raceClient) filled(a cache.Answer, stale *cache.Object, v cache.Verdict) (seen, error) {
	if a.Validated {
		c.tally.validated.Add(1)
	}
	if bad := a.Err != nil || cache.IsErrorStatus(a.Status); bad && stale != nil {
		if _, ok := cache.StaleAllowed(stale.Meta, v, cache.Unreachable, cache.SystemClock().Now().Mono); ok {
			return read(stale, true)
		}
	}
	switch {
	case a.Err != nil:
		return seen{}, a.Err
	case a.Object != nil:
		return read(a.Object, false)
	}
	body, err := io.ReadAll(a.Response.Body)
	return versionOf(string(body), false, err)
}

func read(o *cache.Object, stale bool) (seen, error) {
	r := o.Own.Body.NewReader(0)
	defer r.Close()
	var all strings.Builder
	for {
		p, wait, err := r.Next(64 << 10)
		switch {
		case err == io.EOF:
			return versionOf(all.String(), stale, nil)
		case err != nil:
			return seen{}, err
		case wait != nil:
			<-wait
		}
		all.Write(p)
	}
}

// versionOf wants a body that is of one version from end to end.
func versionOf(body string, stale bool, err error) (seen, error) {
	if err != nil || len(body) < 8 {
		return seen{}, errNoAnswer
	}
	var version uint64
	if _, err := fmt.Sscanf(body[:8], "%d", &version); err != nil {
		return seen{}, err
	}
	if body != strings.Repeat(body[:8], len(body)/8) {
		return seen{0, false}, nil // a violation, whatever was purged
	}
	return seen{version, stale}, nil
}

// racePurger changes pages and purges them.
type racePurger struct {
	*world
	random *rand.Rand
}

func (w *world) newPurger(i uint64) *racePurger {
	return &racePurger{w, rand.New(rand.NewPCG(w.seed, 100+i))}
}

func (p *racePurger) purge() {
	e := p.entry()
	unsafe := e.Kind == cache.MustValidate && p.random.IntN(2) == 0
	if unsafe { // a method, whose answer names its target and a group
		page := p.pages[p.random.IntN(len(p.pages))]
		e = purge.Entry{Kind: cache.MustValidate, URLs: []string{page.url()}, Tags: page.tags[:1]}
	}
	versions := make(map[*racePage]uint64)
	for _, page := range p.pages {
		if selects(&e, page) {
			versions[page] = page.version.Add(1)
		}
	}
	if unsafe {
		p.journal.Invalidate(e.URLs, e.Tags)
	} else if _, err := p.journal.Add(e); err != nil {
		p.t.Error(err)
		return
	}
	for page, version := range versions {
		if e.Kind != cache.Soft {
			raise(&page.atLeast, version)
		}
		raise(&page.freshAtLeast, version)
	}
	p.tally.purges[e.Kind-1].Add(1)
}

func raise(n *atomic.Uint64, to uint64) {
	for old := n.Load(); old < to && !n.CompareAndSwap(old, to); {
		old = n.Load()
	}
}

// entry chooses a purge of one or two selectors.
func (p *racePurger) entry() purge.Entry {
	e := purge.Entry{Kind: []cache.Verdict{cache.Hard, cache.Hard, cache.MustValidate, cache.Soft}[p.random.IntN(4)]}
	for range 1 + p.random.IntN(2) {
		page := p.pages[p.random.IntN(len(p.pages))]
		switch p.random.IntN(20) {
		case 0:
			e.All = true
		case 1:
			e.Sites = append(e.Sites, page.site)
		case 2:
			e.Hosts = append(e.Hosts, page.host)
		case 3, 4, 5:
			e.Tags = append(e.Tags, page.tags[p.random.IntN(2)])
		case 6, 7, 8:
			e.Prefixes = append(e.Prefixes, page.url()[:len(page.host)+1+p.random.IntN(4)])
		case 9, 10, 11:
			e.Globs = append(e.Globs, "*"+page.path[2:len(page.path)-1]+"*")
		default:
			e.URLs = append(e.URLs, page.url())
		}
	}
	return e
}

// selects is what the selectors of a purge mean, in so many words. The globs of this test are a text between two stars.
func selects(e *purge.Entry, p *racePage) bool {
	return e.All || slices.Contains(e.Sites, p.site) || slices.Contains(e.Hosts, p.host) || slices.Contains(e.URLs, p.url()) ||
		slices.ContainsFunc(e.Tags, func(tag string) bool { return slices.Contains(p.tags, tag) }) ||
		slices.ContainsFunc(e.Prefixes, func(prefix string) bool { return strings.HasPrefix(p.url(), prefix) }) ||
		slices.ContainsFunc(e.Globs, func(glob string) bool { return strings.Contains(p.url(), strings.Trim(glob, "*")) })
}
