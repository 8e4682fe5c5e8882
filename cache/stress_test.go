package cache

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// everyPurge is a journal in which each number is a hard purge of everything.
type everyPurge struct{ at atomic.Uint64 }

func (p *everyPurge) Applied() uint64 { return p.at.Load() }
func (p *everyPurge) Verdict(_ *Target, after, upTo uint64) Verdict {
	if upTo > after {
		return Hard
	}
	return Valid
}

// Clients, purges, evictions, validations, changes of Vary and of mind about storing, all at once over a few keys in a small
// tier, every other time with codings made of all of it: whoever began after a purge gets nothing from before it, nobody gets
// half a body, and in the end the table, the tier and the budget agree.
func TestEverythingAtOnce(t *testing.T) {
	for seed := range uint64(4) {
		var purges everyPurge
		inBubble(t, &purges, 256<<10, func(t *testing.T, b *bench) {
			if seed%2 == 1 {
				b.makeCodings()
			}
			var changing sync.Mutex // one change at the origin, then its purge
			var version atomic.Uint64
			b.origin = unsteadyOrigin(seed, &version)
			var clients sync.WaitGroup
			for client := range uint64(16) {
				random := rand.New(rand.NewPCG(seed, client))
				clients.Go(func() {
					for range 200 {
						time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
						if random.IntN(20) == 0 {
							changing.Lock()
							purges.at.Store(version.Add(1))
							changing.Unlock()
							continue
						}
						coding := []string{"", "br", "gzip", "zstd, br;q=0.5"}[random.IntN(4)]
						q := b.query(fmt.Sprint("/", random.IntN(30)), "X-Kind", fmt.Sprint(random.IntN(3)), "Accept-Encoding", coding)
						if random.IntN(10) == 0 {
							q = b.query("/1", "Authorization", "x")
						}
						b.visit(q, purges.Applied(), random)
					}
				})
			}
			clients.Wait()
			time.Sleep(time.Hour)
			synctest.Wait()
			held, count := int64(0), int64(0)
			b.table.each(func(o *Object) {
				held += o.weight()
				count++
				if !o.Own.Body.Complete() {
					t.Errorf("%s is stored and not whole", o.URL)
				}
			})
			if held != b.Bytes() || count != b.Objects() {
				t.Errorf("seed %d: %d objects of %d bytes in the table, %d of %d in the tier", seed, count, held, b.Objects(), b.Bytes())
			}
			if held > 256<<10 {
				t.Errorf("seed %d: %d bytes are held", seed, held)
			}
			if !b.entries.TryAcquire(b.max) || !b.budget.TryAcquire(b.max) || !b.streams.TryAcquire(b.max) {
				t.Errorf("seed %d: the budget was not given back", seed)
			}
			b.refreshing.Range(func(claim, _ any) bool {
				t.Errorf("seed %d: %v is still being refreshed", seed, claim)
				return true
			})
		})
	}
}

// unsteadyOrigin answers with the version there is when it is asked, over and over, and everything else at random.
func unsteadyOrigin(seed uint64, version *atomic.Uint64) func(context.Context, int64, *Meta) (*http.Response, error) {
	return func(ctx context.Context, n int64, validate *Meta) (*http.Response, error) {
		random := rand.New(rand.NewPCG(seed, uint64(n)))
		now := version.Load()
		tag := fmt.Sprintf("%q", fmt.Sprint(now))
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		fields := []string{"Etag: " + tag, "Content-Type: text/plain"}
		switch random.IntN(10) {
		case 0:
			return nil, io.ErrUnexpectedEOF
		case 1:
			return reply(503, strings.NewReader("-"), 1), nil
		case 2:
			fields = append(fields, "Cache-Control: private")
		case 3:
			fields = append(fields, "Cache-Control: no-cache")
		default:
			fields = append(fields, fmt.Sprintf("Cache-Control: max-age=%d, stale-while-revalidate=1, public", random.IntN(3)))
		}
		if vary := random.IntN(3); vary > 0 {
			fields = append(fields, "Vary: X-Kind"+strings.Repeat(", X-Other", vary-1))
		}
		if validate != nil && validate.ETag == tag {
			return reply(304, http.NoBody, 0, fields...), nil
		}
		text := strings.Repeat(fmt.Sprintf("%08d", now), 1+random.IntN(5000))
		body := &trickle{ctx: ctx, steps: []string{text[:8], text[8:]}, every: time.Duration(random.IntN(50)) * time.Millisecond}
		length := int64(len(text))
		switch {
		case len(text) == 8:
			body.steps = body.steps[:1]
		case random.IntN(10) == 0:
			body.end = io.ErrUnexpectedEOF
			body.steps = body.steps[:1]
		}
		if random.IntN(2) == 0 {
			length = -1
		}
		return reply(200, body, length, fields...), nil
	}
}

// visit walks one request as a handler does, and checks what it gets.
func (b *bench) visit(q *Query, begin uint64, random *rand.Rand) {
	fetch := func(ctx context.Context, validate *Meta) (*http.Response, error) {
		return b.origin(ctx, b.asked.Add(1), validate)
	}
	for range 3 {
		now := b.clock.Now().Mono
		o, found := b.Lookup(q, begin, now)
		d := Decide(q, b.policy, found, now)
		f := &Fill{Query: q, Policy: b.policy, Begin: begin, Alone: d.Alone, Fetch: fetch}
		if found.Verdict != Hard {
			f.Stale = o
		}
		a := Answer{Object: o}
		switch {
		case d.Background:
			b.Refresh(f)
		case d.Outcome != Hit && d.Outcome != Stale:
			a = b.Fill(f)
		}
		if a.Excluded {
			continue
		}
		if a.Err == nil && random.IntN(5) > 0 {
			b.checkBody(q, a, begin)
		}
		a.Release()
		return
	}
}

func (b *bench) checkBody(q *Query, a Answer, begin uint64) {
	text, err := "", error(nil)
	if a.Response != nil {
		var all []byte
		all, err = io.ReadAll(a.Response.Body)
		text = string(all)
	} else {
		text, err = b.readChosen(a.Object, q)
	}
	if err != nil || text == "-" {
		return
	}
	if len(text)%8 != 0 || strings.Repeat(text[:8], len(text)/8) != text {
		b.t.Errorf("a body of %d bytes that is no version", len(text))
	}
	if fmt.Sprintf("%08d", begin) > text[:8] {
		b.t.Errorf("version %s for a request that began after purge %d", text[:8], begin)
	}
}

// readChosen reads what is chosen of o for q, without its coding.
func (b *bench) readChosen(o *Object, q *Query) (string, error) {
	c := b.Choose(o, q, b.policy)
	if c.Pending {
		var err error
		if c, err = b.Stream(o, b.policy, c); err != nil {
			return "", err
		}
	} else if b.policy.Codings != nil {
		b.Improve(o, b.policy, c, b.clock.Now().Mono)
	}
	defer c.Release()
	text, err := readBody(c.Body)
	if err != nil {
		return "", err
	}
	return b.decode(c.Coding, []byte(text)), nil
}

func readBody(body *Body) (string, error) {
	r := body.NewReader(0)
	defer r.Close()
	var all strings.Builder
	for {
		p, wait, err := r.Next(10 << 10)
		switch {
		case err == io.EOF:
			return all.String(), nil
		case err != nil:
			return "", err
		case wait != nil:
			<-wait
		}
		all.Write(p)
	}
}
