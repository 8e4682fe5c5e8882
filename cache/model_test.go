package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// modelJournal is a journal of purges by URL. It outlives the stores.
type modelJournal struct {
	mu      sync.Mutex
	applied uint64
	last    map[string]map[Verdict]uint64 // by URL
}

func (j *modelJournal) Applied() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.applied
}

func (j *modelJournal) Verdict(t *Target, after, upTo uint64) (v Verdict) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for kind, number := range j.last[t.URL] {
		if number > after {
			v = max(v, kind)
		}
	}
	return v
}

func (j *modelJournal) add(kind Verdict, url string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.last[url] == nil {
		j.last[url] = make(map[Verdict]uint64)
	}
	j.applied++
	j.last[url][kind] = j.applied
}

// bothTiers is the model: what the origin has, and since when nothing older may be served.
type bothTiers struct {
	*bench
	t       *testing.T
	dir     string
	journal *modelJournal
	end     func()

	pages [40]struct {
		changing sync.Mutex    // one change at the origin, then its purge
		version  atomic.Uint64 // the origin's
		purged   atomic.Uint64 // the version that the last purge has brought
	}
	counted [whats]atomic.Int64
	answers atomic.Int64
	cut     atomic.Int64 // of them, those that broke off, visibly
}

// What a run has to have seen, or it has proved little.
const (
	fromMemory = iota
	fromDisk
	whileFilling
	validated
	purged
	invalidated
	removed
	restored
	evicted
	rescued
	whats
)

var names = [whats]string{
	"from memory", "from the disk", "while filling", "validated", "purged", "invalidated", "removed", "restored",
	"evicted", "rescued",
}

// Requests, purges, invalidations, removals, validations, evictions and restarts over both tiers, all at once: whoever began
// after a purge gets nothing from before it, nobody gets half a body or another's, and what the disk holds is whole.
//
// How much of it comes to the disk is the scheduler's to say as well, so a run goes on until it has seen everything.
func TestModelOfBothTiers(t *testing.T) {
	t.Parallel()
	seeds, rounds := uint64(1), uint64(3)
	if os.Getenv("SELVAGE_SOAK") != "" {
		seeds, rounds = 10, 30
	}
	const most = 50
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			m := &bothTiers{t: t, dir: t.TempDir(), journal: &modelJournal{last: make(map[string]map[Verdict]uint64)}}
			for round := uint64(0); round < rounds || round < most && len(m.unseen()) > 0; round++ {
				m.start()
				m.play(seed, round)
				m.check()
				m.end()
			}
			if cut, all := m.cut.Load(), m.answers.Load(); cut > all/50 {
				t.Errorf("seed %d: %d answers of %d broke off, want one in 50 at most", seed, cut, all)
			}
			if unseen := m.unseen(); len(unseen) > 0 {
				t.Errorf("seed %d: nothing was %s", seed, strings.Join(unseen, ", nor "))
			}
		})
	}
}

// unseen names what has not been seen yet.
func (m *bothTiers) unseen() (all []string) {
	for what, name := range names {
		if m.counted[what].Load() == 0 {
			all = append(all, name)
		}
	}
	return all
}

// start opens a store over what the one before has left.
func (m *bothTiers) start() {
	m.bench, m.end = diskBench(m.t, StoreConfig{
		MaxBytes: 2 << 20, Disk: DiskConfig{Path: m.dir, Size: 16 << 20}, HighestEpoch: m.journal.Applied(),
	}, m.journal)
	m.loaded()
	m.counted[restored].Add(m.disk.tier.Stat().Records)
}

func (m *bothTiers) play(seed, round uint64) {
	var clients sync.WaitGroup
	for client := range uint64(12) {
		random := rand.New(rand.NewPCG(seed<<8|round, client))
		clients.Go(func() {
			for range 50 {
				time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
				m.step(random)
			}
		})
	}
	clients.Wait()
	m.fills.Wait()
}

func (m *bothTiers) step(random *rand.Rand) {
	number := int(float64(len(m.pages)) * random.Float64() * random.Float64())
	switch at := random.IntN(100); {
	case at < 4:
		m.change(number, Hard, purged)
	case at < 8:
		m.change(number, MustValidate, invalidated)
	case at < 10:
		if n, err := m.Disk().Remove(m.t.Context(), m.page(number, random).PurgeURL()); err != nil {
			m.t.Error(err)
		} else if n > 0 {
			m.counted[removed].Add(1)
		}
	default:
		m.visit(number, random)
	}
}

// change gives a page another version, and purges the old.
func (m *bothTiers) change(number int, kind Verdict, what int) {
	p := &m.pages[number]
	p.changing.Lock()
	defer p.changing.Unlock()
	now := p.version.Add(1)
	q := m.query(fmt.Sprint("/", number))
	m.journal.add(kind, q.PurgeURL())
	p.purged.Store(now)
	m.counted[what].Add(1)
}

func (m *bothTiers) page(number int, random *rand.Rand) *Query {
	return m.query(fmt.Sprint("/", number), "X-Kind", fmt.Sprint(random.IntN(2)))
}

// fetch is the origin: pages of all sizes, of known length and not, that last for seconds or hours, some varying.
func (m *bothTiers) fetch(number int, random *rand.Rand) func(context.Context, *Meta) (*http.Response, error) {
	size, slow, chunked := 1+random.IntN(1<<(6+number*7%11)), random.IntN(4) == 0, random.IntN(2) == 0
	seconds := []int{0, 1, 3600}[number%3]
	return func(ctx context.Context, validate *Meta) (*http.Response, error) {
		unit := fmt.Sprintf("%08d%08d", m.pages[number].version.Load(), number)
		fields := []string{fmt.Sprintf("Etag: %q", unit), fmt.Sprintf("Cache-Control: max-age=%d", seconds)}
		if number%4 == 0 {
			fields = append(fields, "Vary: X-Kind")
		}
		if validate != nil && validate.ETag == fmt.Sprintf("%q", unit) {
			m.counted[validated].Add(1)
			return reply(304, http.NoBody, 0, fields...), nil
		}
		text, length := strings.Repeat(unit, size), int64(16*size)
		body := io.Reader(strings.NewReader(text))
		if slow {
			body = &trickle{ctx: ctx, steps: []string{text[:len(text)/2], text[len(text)/2:]}, every: 20 * time.Millisecond}
		}
		if chunked {
			length = -1
		}
		return reply(200, body, length, fields...), nil
	}
}

// visit walks one request as a handler does, and checks what it gets.
func (m *bothTiers) visit(number int, random *rand.Rand) {
	oldest := m.pages[number].purged.Load()
	begin := m.journal.Applied()
	q := m.page(number, random)
	for range 3 {
		now := m.clock.Now().Mono
		o, found := m.Lookup(q, begin, now)
		d := Decide(q, m.policy, found, now)
		a := Answer{Object: o}
		if d.Outcome == Hit {
			m.count(o)
		} else {
			f := &Fill{Query: q, Policy: m.policy, Begin: begin, Alone: d.Alone, Fetch: m.fetch(number, random)}
			if found.Verdict != Hard {
				f.Stale = o
			}
			a = m.Fill(f)
		}
		if !a.Excluded {
			m.checkAnswer(a, number, oldest)
			a.Release()
		}
		o.Done()
		if !a.Excluded {
			return
		}
	}
}

func (m *bothTiers) count(o *Object) {
	switch {
	case o.Own.Body.below != nil:
		m.counted[fromDisk].Add(1)
	case o.Own.Body.Complete():
		m.counted[fromMemory].Add(1)
	default:
		m.counted[whileFilling].Add(1)
	}
}

func (m *bothTiers) checkAnswer(a Answer, number int, oldest uint64) {
	m.answers.Add(1)
	if a.Err != nil {
		m.t.Errorf("/%d: %v", number, a.Err)
		return
	}
	var text string
	var err error
	if a.Response != nil {
		var all []byte
		all, err = io.ReadAll(a.Response.Body)
		text = string(all)
	} else {
		text, err = readBody(a.Object.Own.Body)
	}
	if errors.Is(err, ErrFellBehind) {
		m.cut.Add(1) // the disk, which is tiny, had no room for the rest, nor had memory; everybody sees it
		return
	}
	if err != nil || len(text) < 16 || len(text)%16 != 0 || text[8:16] != fmt.Sprintf("%08d", number) ||
		strings.Repeat(text[:16], len(text)/16) != text {
		m.t.Errorf("/%d: %d bytes, %.32q, %v: no version of the page", number, len(text), text, err)
		return
	}
	if text[:8] < fmt.Sprintf("%08d", oldest) {
		m.t.Errorf("/%d: version %s for a request that began after %d was purged in", number, text[:8], oldest)
	}
}

// check has the disk look at itself, and counts what it has done.
func (m *bothTiers) check() {
	r, err := m.Disk().Scrub(m.t.Context(), nil)
	if err != nil || !r.Clean {
		m.t.Errorf("scrub: %+v, %v", r, err)
	}
	s := m.disk.tier.Stat()
	m.counted[evicted].Add(s.Evicted)
	m.counted[rescued].Add(s.Rescued)
	if s.Used > s.Limit+4<<20 {
		m.t.Errorf("%d bytes used, want at most %d and a segment", s.Used, s.Limit)
	}
}

// A request that found an object on the disk may read it to its end, whatever is purged meanwhile. The next one gets nothing of
// it, and nor does the one after a restart.
func TestPurgeWhileTheDiskIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, journal := t.TempDir(), &modelJournal{last: make(map[string]map[Verdict]uint64)}
		c := StoreConfig{MaxBytes: 1 << 20, Disk: DiskConfig{Path: dir, Size: 16 << 20}}
		b, end := diskBench(t, c, journal)
		b.loaded()
		text := noise(300 << 10)
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return replyText(text, "Cache-Control: max-age=600", `Etag: "1"`), nil
		}
		b.get("/a")
		b.fills.Wait()
		q := b.query("/a")
		o, d := b.look(q)
		if d.Outcome != Hit || o.Own.Body.below == nil {
			t.Fatalf("%s, want a hit on the disk", d.Outcome)
		}
		r := o.Own.Body.NewReader(0)
		some(r, 100)
		journal.add(Hard, q.PurgeURL())
		if rest, err := some(r, len(text)); rest != text[100:] || err != io.EOF {
			t.Errorf("%d bytes after the purge, %v, want the rest", len(rest), err)
		}
		r.Close()
		end()
		b, end = diskBench(t, c, journal)
		defer end()
		b.loaded()
		for range 2 { // the second time it is no longer there at all
			if o, d := b.look(q); o != nil || d.Outcome != Miss {
				t.Errorf("after the purge: %s, want a miss", d.Outcome)
			}
		}
	})
}
